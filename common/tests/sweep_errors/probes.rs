//! Probes, and sweeps that walk imported runs.

use super::{NAME, PROBE, check};

#[test]
fn probes_walk_between_checkpoints_that_are_kept() {
    check(
        PROBE,
        &[
            (
                "from = \"epoch-3\"",
                &[
                    "7:8: probe.from: checkpoint \"epoch-3\" is not kept by every run; add it to train.keep, which has: init, final",
                ],
            ),
            (
                "from = \"final\"",
                &["7:8: probe.from: a line needs two checkpoints, but `from` and `to` are both final"],
            ),
            (
                "hold = \"epoch-3\"",
                &["7:8: probe.hold: must be `from` or `to` of the line (init or final), found epoch-3"],
            ),
            (
                "from = \"a b\"",
                &[
                    "7:8: probe.from: `a b` cannot name a checkpoint: use `init`, `step-N`, `epoch-N`, `final`, or 1 to 64 letters, digits, `-` and `_`",
                ],
            ),
        ],
    );
    let keeps = "name = \"x\"\ndata.set = \"mnist\"\nmodel.architecture = \"mlp\"\ntrain.optimizer = \"sgd\"\ntrain.keep = [[\"init\", \"epoch-2\", \"final\"], [\"init\", \"final\"]]\n[[probe]]\nkind = \"line\"\n";
    check(
        keeps,
        &[(
            "to = [\"final\", \"epoch-2\"]",
            &[
                "8:16: probe.to: checkpoint \"epoch-2\" is not kept by every run; add it to train.keep, which has: init, final",
            ],
        )],
    );
}

#[test]
fn probes_name_layers_of_every_architecture() {
    check(
        PROBE,
        &[
            (
                "layers = [\"all\", \"conv*\"]",
                &[
                    "7:18: probe.layers: `conv*` matches no layer of mlp. Its layers: fc1, fc2, fc3. Its groups: head, kind:linear, kind:bias. It has 3 blocks",
                ],
            ),
            (
                "layers = [\"conv9\"]",
                &[
                    "7:11: probe.layers: `conv9` matches no layer of mlp. Its layers: fc1, fc2, fc3. Its groups: head, kind:linear, kind:bias. It has 3 blocks",
                    "7:11: probe.layers: `conv9` matches no layer of lenet5. Its layers: conv1, conv2, fc1, fc2, fc3. Its groups: stem, head, kind:conv, kind:linear, kind:bias, kernel:5. It has 5 blocks",
                ],
            ),
            ("layers = [\"[\"]", &["7:11: probe.layers: `[` is not a pattern: unclosed character class; missing ']'"]),
            ("layers = [\"\"]", &["7:11: probe.layers: a pattern must not be empty"]),
            ("layers = []", &["7:10: probe.layers: must have at least one item, found an empty list"]),
            ("layers = [\"all\", \"all\"]", &["7:18: probe.layers: \"all\" is there twice; give each value once"]),
        ],
    );
    let deep = "name = \"x\"\ndata.set = \"mnist\"\nmodel.architecture = \"mlp\"\nmodel.mlp.widths = [[10], [10, 10, 10]]\ntrain.optimizer = \"sgd\"\n[[probe]]\nkind = \"line\"\n";
    check(
        deep,
        &[(
            "layers = [\"fc2\", \"fc4\"]",
            &[
                "8:18: probe.layers: `fc4` matches no layer of mlp. Its layers: fc1, fc2. Its groups: head, kind:linear, kind:bias. It has 2 blocks",
            ],
        )],
    );
}

#[test]
fn grids_of_alphas_rise() {
    check(
        PROBE,
        &[
            ("alphas = [0]", &["7:10: probe.alphas: a line needs at least 2 alphas, found 1"]),
            (
                "alphas = [0, 0.5, 0.5]",
                &["7:19: probe.alphas: alphas must rise from one to the next, found 0.5 after 0.5"],
            ),
            ("alphas = [0, inf]", &["7:14: probe.alphas: must be finite, found inf"]),
            (
                "alphas = { start = 0, stop = 1, count = 1 }",
                &["7:41: probe.alphas.count: must be from 2 to 10,001, found 1"],
            ),
            (
                "alphas = { start = 0, stop = 1, count = 10002 }",
                &["7:41: probe.alphas.count: must be from 2 to 10,001, found 10002"],
            ),
            (
                "alphas = { start = 1, stop = 0, count = 3 }",
                &["7:10: probe.alphas: `stop` must lie above `start`, found start 1.0, stop 0.0, count 3"],
            ),
            (
                "alphas = { start = -1.7e308, stop = 1.7e308, count = 3 }",
                &[
                    "7:10: probe.alphas: `stop` is too far or too close for that many values, found start -1.7e308, stop 1.7e308, count 3",
                ],
            ),
            (
                "subset = 0\nbatch_size = 0",
                &[
                    "7:10: probe.subset: must be from 1 to 4,294,967,295, found 0",
                    "8:14: probe.batch_size: must be from 1 to 65,536, found 0",
                ],
            ),
        ],
    );
}

#[test]
fn refinement_has_a_budget_and_a_tolerance() {
    let grid = |refine: &str| format!("alphas = {{ start = 0, stop = 1, count = 3, refine = {refine} }}");
    let cases: [(&str, &[&str]); 8] = [
        ("{ budget = 20, tolerance = 0.01 }", &[]),
        ("20", &["7:53: probe.alphas.refine: must be written { budget = 20, tolerance = 0.01 }, found 20"]),
        ("{ budget = 20 }", &["7:53: probe.alphas.refine.tolerance: missing; it must be a number"]),
        (
            "{ budget = 0, tolerance = 0 }",
            &[
                "7:64: probe.alphas.refine.budget: must be from 1 to 10,000, found 0",
                "7:79: probe.alphas.refine.tolerance: must be above 0 and finite, found 0",
            ],
        ),
        (
            "{ budget = 10001, tolerance = inf }",
            &[
                "7:64: probe.alphas.refine.budget: must be from 1 to 10,000, found 10001",
                "7:83: probe.alphas.refine.tolerance: must be above 0 and finite, found inf",
            ],
        ),
        (
            "{ budget = 1.5, tolerance = \"small\" }",
            &[
                "7:64: probe.alphas.refine.budget: must be a whole number, found 1.5",
                "7:81: probe.alphas.refine.tolerance: must be a number, found the string \"small\"",
            ],
        ),
        (
            "{ bugdet = 20, tolerance = 0.01 }",
            &[
                "7:53: probe.alphas.refine.budget: missing; it must be a whole number",
                "7:55: probe.alphas.refine.bugdet: unknown setting; did you mean `budget`? [probe.alphas.refine] has: budget, tolerance",
            ],
        ),
        (
            "{ budget = 20, tolerance = [0.1, 0.01] }",
            &["7:80: probe.alphas.refine.tolerance: must be a number, found a list"],
        ),
    ];
    for (refine, mistakes) in cases {
        check(PROBE, &[(&grid(refine), mistakes)]);
    }
    check(
        PROBE,
        &[
            (
                "alphas = { start = 0, stop = 1, count = 3, refin = { budget = 2, tolerance = 1 } }",
                &[
                    "7:44: probe.alphas.refin: unknown key of a grid; did you mean `refine`? a grid is written { start = 0, stop = 1, count = 25 }",
                ],
            ),
            (
                "refine = { budget = 2, tolerance = 1 }",
                &[
                    "7:1: probe.refine: unknown setting; did you mean `probe.alphas.refine`? [probe] has: kind, name, from, to, hold, alphas, layers, splits, batch_norm, subset, batch_size, align, normalize, measures",
                ],
            ),
        ],
    );
}

#[test]
fn probes_differ_and_have_different_names() {
    check(
        PROBE,
        &[
            (
                "[[probe]]\nkind = \"line\"\nlayers = [\"all\"]",
                &["7:1: probe: measures the very same as probe 1 of this file; leave one out"],
            ),
            (
                "name = \"a\"\n[[probe]]\nkind = \"line\"\nname = \"a\"\nlayers = [\"each\"]",
                &["10:8: probe.name: another probe is already named \"a\"; give each its own name"],
            ),
            (
                "name = \"a b\"",
                &["7:8: probe.name: must be made of letters (a-z), digits, `-`, `_` and `.`; \"a b\" holds \" \""],
            ),
        ],
    );
}

#[test]
fn imported_runs_are_walked_and_not_trained() {
    check(
        NAME,
        &[
            (
                "[data]\nset = \"cifar10\"\naugment.flip = true\nlabel_noise = 0.1\n[model]\n[init]\n[train]\n[imported]\nruns = [\"r\", \"r\", \"a b\"]",
                &[
                    "4:1: data.augment: belongs to training, and imported runs are not trained here; leave it out",
                    "5:1: data.label_noise: belongs to training, and imported runs are not trained here; leave it out",
                    "6:2: model: the model of imported runs is the one that they were imported with; leave [model] out",
                    "7:2: init: imported runs are not initialised here; leave [init] out",
                    "8:2: train: a sweep either trains or walks imported runs; leave [train] or [imported] out",
                    "9:2: imported: imported runs have nothing to do without a [[probe]]; add one",
                    "10:19: imported.runs: must be made of letters (a-z), digits, `-`, `_` and `.`; \"a b\" holds \" \"",
                ],
            ),
            (
                "[data]\nset = \"cifar10\"\n[imported]\nruns = [\"r\", \"r\"]\n[[probe]]\nkind = \"line\"",
                &["5:14: imported.runs: \"r\" is there twice; give each value once"],
            ),
            (
                "[data]\nset = \"cifar10\"\n[imported]\nruns = []\n[[probe]]\nkind = \"line\"",
                &["5:8: imported.runs: an axis needs at least one value, found an empty list"],
            ),
            (
                "[data]\nset = \"cifar10\"\n[imported]\n[[probe]]\nkind = \"line\"",
                &["4:1: imported.runs: missing; it must be a list, each item a name"],
            ),
        ],
    );
}
