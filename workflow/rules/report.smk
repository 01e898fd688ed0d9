rule report:
    input:
        list(dag.wanted(config)),
    output:
        touch(f"{RESULTS}/x.txt"),
    message: "x"
