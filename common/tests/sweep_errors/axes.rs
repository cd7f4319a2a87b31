//! Axes and their product.

use super::{SWEEP, check};

#[test]
fn axes_have_values_and_each_once() {
    check(
        SWEEP,
        &[
            ("train.seed = []", &["5:14: train.seed: an axis needs at least one value, found an empty list"]),
            ("train.schedule = []", &["5:18: train.schedule: an axis needs at least one value, found an empty list"]),
            ("train.seed = \"5..5\"", &["5:14: train.seed: \"5..5\" is empty: the end is not part of a range"]),
            ("train.seed = \"5..0\"", &["5:14: train.seed: \"5..0\" is empty: the end is not part of a range"]),
            (
                "train.seed = \"0..=5\"",
                &["5:14: train.seed: \"0..=5\" is not a range; write it as \"0..5\", which is 0, 1, 2, 3, 4"],
            ),
            ("train.seed = \"-2..5\"", &["5:14: train.seed: must be from 0 to 9,223,372,036,854,775,807, found -2"]),
            (
                "train.seed = \"0..1000000000000\"",
                &[
                    "5:14: train.seed: \"0..1000000000000\" has 1,000,000,000,000 values; a sweep may have at most 100,000 runs",
                ],
            ),
            ("train.seed = [1, 2, 1]", &["5:21: train.seed: 1 is there twice; give each value once"]),
            ("train.seed = [\"0..3\", 2]", &["5:23: train.seed: 2 is there twice; give each value once"]),
            ("data.label_noise = [0.5, 5e-1]", &["5:26: data.label_noise: 0.5 is there twice; give each value once"]),
            ("data.label_noise = [0.0, -0.0]", &["5:26: data.label_noise: 0.0 is there twice; give each value once"]),
            (
                "train.keep = [[\"init\", \"final\"], [\"final\", \"init\"]]",
                &["5:34: train.keep: [\"init\",\"final\"] is there twice; give each value once"],
            ),
            ("train.keep = [\"init\", \"init\"]", &["5:23: train.keep: \"init\" is there twice; give each value once"]),
            (
                "train.schedule = [\"cosine\", { name = \"cosine\" }]",
                &["5:29: train.schedule: {\"name\":\"cosine\"} is there twice; give each value once"],
            ),
            (
                "data.label_noise = { start = 0.5, stop = 0.5, count = 2 }",
                &["5:20: data.label_noise: `stop` must lie above `start`, found start 0.5, stop 0.5, count 2"],
            ),
            (
                "data.label_noise = { start = 0, stop = 1e-320, count = 100000 }",
                &[
                    "5:20: data.label_noise: `stop` is too far or too close for that many values, found start 0.0, stop 1e-320, count 100000",
                ],
            ),
            (
                "train.epochs = { start = 1, stop = 10, count = 5 }",
                &["5:16: train.epochs: must be a whole number, found 3.25"],
            ),
        ],
    );
}

#[test]
fn products_are_limited_and_counted_without_being_made() {
    check(
        SWEEP,
        &[(
            "train.seed = \"0..90000\"\ntrain.epochs = \"1..90000\"\ntrain.batch_size = \"1..60000\"",
            &[
                "5:14: the product has 485,986,500,090,000 runs, at most 100,000 are allowed: train.seed (90000) x train.epochs (89999) x train.batch_size (59999)",
            ],
        )],
    );
    let many_seeds = "name = \"x\"\ndata.set = \"mnist\"\nmodel.architecture = [\"mlp\", \"lenet5\"]\ntrain.optimizer = \"sgd\"\ntrain.seed = \"0..50000\"\n";
    check(
        many_seeds,
        &[
            (
                "[[probe]]\nkind = \"line\"\nlayers = [\"each\"]\nbatch_size = [1, 2, 3]",
                &[
                    "6:1: probe: the sweep has 1,300,000 jobs, at most 1,100,000 are allowed; take fewer runs, layers or probes",
                ],
            ),
            (
                "[[probe]]\nkind = \"line\"\nalphas = { start = 0, stop = 1, count = 10001 }",
                &[
                    "6:1: probe: the sweep measures 2,000,200,000 points, at most 50,000,000 are allowed; take fewer alphas, layers or runs",
                ],
            ),
        ],
    );
}
