"""The benchmark runner on made-up cases with a made-up clock; real cases once, in short."""

import csv
import io

import pytest

from respike.commands import benchmark


class Machine:
    """A clock that only the work advances, and a record of who worked."""

    def __init__(self):
        self.now, self.calls, self.slow = 0.0, [], 1.0

    def work(self, name, seconds):
        def run():
            self.calls.append(name)
            self.now += seconds * self.slow

        return run

    def case(self, ours=0.1, peer=0.3, floor=0.05, **more):
        functions = {"ours": self.work("ours", ours), "peer": self.work("peer", peer)}
        if floor:
            functions["floor"] = self.work("floor", floor)
        return benchmark.Case("toy", "ms per batch", **functions, **more)


@pytest.fixture
def machine():
    return Machine()


def measure(machine, case, rounds=4, least_s=0.0):
    return benchmark.measure(case, rounds, least_s, clock=lambda: machine.now)


def test_numbers_of_a_steady_machine(machine):
    found = measure(machine, machine.case())
    assert found["ours"] == pytest.approx(100) and found["peer"] == pytest.approx(300)
    assert found["floor"] == pytest.approx(50)
    assert [found[k] for k in ("ratio_low", "ratio", "ratio_high")] == pytest.approx([3, 3, 3])
    assert found["distance_to_floor"] == pytest.approx(2)


def test_sides_take_turns_after_a_warm_up(machine):
    measure(machine, machine.case())
    warm_up, timed = machine.calls[:6], machine.calls[6:]
    assert warm_up == ["ours"] * 2 + ["peer"] * 2 + ["floor"] * 2
    assert timed == ["ours", "peer", "floor", "floor", "peer", "ours"] * 2


def test_a_machine_that_slows_down_between_rounds_changes_no_ratio(machine):
    case = machine.case()
    ours = case.ours

    def slower():
        ours()
        if len(machine.calls) % 6 == 0:
            machine.slow *= 3

    found = measure(machine, benchmark.Case("toy", "ms", slower, case.peer, case.floor), rounds=9)
    assert found["ratio"] == pytest.approx(3)


def test_short_work_is_repeated_and_units_are_counted(machine):
    found = measure(machine, machine.case(per_call=10), rounds=1, least_s=1.0)
    assert found["ours"] == pytest.approx(10) and found["peer"] == pytest.approx(30)
    assert [machine.calls[6:].count(name) for name in ("ours", "peer", "floor")] == [10, 3, 20]


def test_a_call_of_the_peer_may_do_less(machine):
    found = measure(machine, machine.case(ours=1.0, floor=None, per_call=20, peer_per_call=1))
    assert found["ours"] == pytest.approx(50) and found["peer"] == pytest.approx(300)
    assert found["ratio"] == pytest.approx(6)


def test_the_spread_holds_the_middle_half_of_the_rounds(machine):
    pace = iter([1, 1, *range(1, 10)])

    def peer():
        machine.now += 0.1 * next(pace)

    found = measure(machine, benchmark.Case("toy", "ms", machine.work("ours", 0.1), peer), rounds=9)
    assert [found[k] for k in ("ratio_low", "ratio", "ratio_high")] == pytest.approx([3, 5, 7])
    assert "floor" not in found and "distance_to_floor" not in found


def test_the_table(machine):
    made_from = {"machine": "toy", "versions": "a 1, b 2", "commit": "abc", "date": "2000-01-01"}
    case = machine.case(note='commas, and "quotes"', threads=2)
    line = benchmark.row(case, measure(machine, case), made_from)
    text = benchmark.as_csv([line])
    assert text.splitlines()[0] == (
        "source,case,device,threads,ours,peer,unit,ratio,ratio_low,ratio_high,floor,distance_to_floor,"
        "note,machine,versions,commit,date"
    )
    (read,) = csv.DictReader(io.StringIO(text))
    assert read == line
    assert read["case"] == "toy" and read["note"] == 'commas, and "quotes"'
    assert read["ratio"] == "3" and read["threads"] == "2" and read["versions"] == "a 1, b 2"
    assert "3x (3 to 3), 2 of the dense floor" in benchmark.shown(line)


@pytest.fixture
def toy(toy_source, mnist_folder, threads):
    """A source with one case."""
    (toy_source / "benchmarks.py").write_text(
        "from respike.commands.benchmark import Case\n"
        "def cases(data, device, threads):\n"
        "    work = lambda: sum(range(1000))\n"
        "    return [Case('toy', 'ms', work, work, device=device, threads=threads)]\n"
    )


def test_main_writes_the_table_whole(toy, tmp_path, capsys):
    out = tmp_path / "new" / "bench.csv"
    options = ["--out", str(out), "--rounds", "2", "--device", "cpu", "--threads", "1"]
    assert benchmark.main(options) == 0
    (read,) = csv.DictReader(io.StringIO(out.read_text()))
    assert read["case"] == "toy" and read["device"] == "cpu" and read["threads"] == "1"
    assert read["source"] == "toy"  # whose folder it is from
    assert float(read["ratio"]) > 0 and read["machine"] and "torch" in read["versions"]
    assert [p.name for p in out.parent.iterdir()] == ["bench.csv"]
    assert str(out) in capsys.readouterr().out


def test_wrong_use_is_one_message(toy, capsys, monkeypatch):
    for options in (["--rounds", "0"], ["--threads", "0"], ["--threads", "999"], ["--device", "x"]):
        with pytest.raises(SystemExit) as stop:
            benchmark.main(options)
        assert stop.value.code == 2
    capsys.readouterr()
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert benchmark.main(["--device", "cuda"]) == 1
    assert "torch finds no GPU" in capsys.readouterr().err


def test_every_real_case_runs(mnist_folder, threads, capsys):
    assert benchmark.main(["--quick", "--device", "cpu", "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    names = (
        "nmnist emulator",
        "snn_mnist training step",
        "snn_mnist forward",
        "rate encoding",
        "poisson_mlp",
    )
    for name in (*names, "kulkarni original pass", "kulkarni modified pass", "STDP poisson"):
        assert name in shown
