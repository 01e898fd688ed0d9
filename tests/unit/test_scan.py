from respike.runs.scan import kept as scans


def test_kept_scans_that_were_edited_are_not_believed(tmp_path, monkeypatch):
    monkeypatch.setattr(scans, "CACHE", tmp_path)
    kept = []
    monkeypatch.setattr(scans.atexit, "register", kept.append)

    def found(source):
        scans._kept.cache_clear()
        scanned = scans.kept_scan(source, "module.py")
        kept.pop()()  # at exit
        return scanned

    right = found(b"import numpy\n")
    (file,) = tmp_path.iterdir()
    for edit in (
        lambda text: text.replace("numpy", "scipy"),
        lambda text: text[:-9],
        lambda text: "[]",
    ):
        whole = file.read_text()
        assert edit(whole) != whole
        file.write_text(edit(whole))
        assert found(b"import numpy\n") == right
    scans._kept.cache_clear()
