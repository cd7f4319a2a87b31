//! Values of the wrong type or out of range.

use super::{NAME, NO_OPTIMIZER, PROBE, SWEEP, check};

#[test]
fn values_of_the_wrong_type_are_named() {
    check(
        NAME,
        &[
            (
                "data.set = 1\nmodel.architecture = true\ntrain.optimizer = 3",
                &[
                    "2:12: data.set: must be a data set (mnist, fashion-mnist, cifar10, cifar100, spirals, image-folder), found 1",
                    "3:22: model.architecture: must be an architecture (mlp, lenet5, resnet20, resnet32, resnet44, resnet56, resnet110, resnet18, resnet34, resnet50, simple-cnn, vgg11, vgg16, efficientnet-lite0, vit), found true",
                    "4:19: train.optimizer: must be a table or a name, found 3",
                ],
            ),
            (
                "data = 3\nmodel = [1]\ntrain = \"a\"\nprobe = 3\ninit = 2020-01-01",
                &[
                    "2:8: data: must be a table, found 3",
                    "3:9: model: must be a table, found a list",
                    "4:9: train: must be a table, found the string \"a\"",
                    "5:9: probe: must be written with two brackets, [[probe]], found 3",
                    "6:8: init: must be a table, found the date 2020-01-01",
                ],
            ),
        ],
    );
    check(
        SWEEP,
        &[
            ("train.epochs = 1.5", &["5:16: train.epochs: must be a whole number, found 1.5"]),
            ("train.epochs = \"ten\"", &["5:16: train.epochs: must be a whole number, found the string \"ten\""]),
            ("train.seed = [1, [2]]", &["5:18: train.seed: must be a whole number, found a list"]),
            ("data.label_noise = \"0.1\"", &["5:20: data.label_noise: must be a number, found the string \"0.1\""]),
            ("data.partial = 1", &["5:16: data.partial: must be true or false, found 1"]),
            ("data.mean = 0.5", &["5:13: data.mean: must be a list, each item a number, found 0.5"]),
            ("model.mlp.widths = [[1], 2]", &["5:21: model.mlp.widths: must be a whole number, found a list"]),
            ("model.mlp.batch_norm = 1", &["5:24: model.mlp.batch_norm: must be true or false, found 1"]),
            ("train.schedule = [\"constant\", 3]", &["5:31: train.schedule: must be a table or a name, found 3"]),
            (
                "train.keep = \"final\"",
                &[
                    "5:14: train.keep: must be a list, each item the name of a checkpoint, such as \"final\", found the string \"final\"",
                ],
            ),
            ("[probe]\nkind = \"line\"", &["5:1: probe: must be written with two brackets, [[probe]], found a table"]),
        ],
    );
    check(
        PROBE,
        &[
            (
                "alphas = 3",
                &["7:10: probe.alphas: must be a list of numbers or { start = 0, stop = 1, count = 25 }, found 3"],
            ),
            (
                "layers = \"all\"",
                &[
                    "7:10: probe.layers: must be a list, each item \"all\", \"each\", or the name or pattern of layers, found the string \"all\"",
                ],
            ),
        ],
    );
}

#[test]
fn values_out_of_range_are_answered_with_the_range() {
    check(
        SWEEP,
        &[
            ("train.epochs = 0", &["5:16: train.epochs: must be from 1 to 100,000, found 0"]),
            ("train.epochs = 1000000000", &["5:16: train.epochs: must be from 1 to 100,000, found 1000000000"]),
            (
                "train.epochs = 99999999999999999999999999999999999999999",
                &["5:16: train.epochs: must be from 1 to 100,000, found 99999999999999999999999999999999999999999"],
            ),
            ("train.batch_size = 0", &["5:20: train.batch_size: must be from 1 to 65,536, found 0"]),
            ("train.batch_size = 65537", &["5:20: train.batch_size: must be from 1 to 65,536, found 65537"]),
            ("train.seed = -1", &["5:14: train.seed: must be from 0 to 9,223,372,036,854,775,807, found -1"]),
            ("train.warmup_epochs = -0.5", &["5:23: train.warmup_epochs: must be at least 0 and finite, found -0.5"]),
            (
                "train.warmup_epochs = 10.5",
                &["5:23: train.warmup_epochs: must be at most train.epochs, which is 10, found 10.5"],
            ),
            (
                "train.schedule = { name = \"step\", every = 0, factor = 1.5 }",
                &[
                    "5:43: train.schedule.every: must be from 1 to 100,000, found 0",
                    "5:55: train.schedule.factor: must be above 0 and at most 1, found 1.5",
                ],
            ),
            (
                "train.schedule = { name = \"cosine\", floor = 2 }",
                &["5:45: train.schedule.floor: must be from 0 to 1, found 2"],
            ),
            ("data.label_noise = 1.5", &["5:20: data.label_noise: must be from 0 to 1, found 1.5"]),
            ("data.train_size = 0", &["5:19: data.train_size: must be from 1 to 4,294,967,295, found 0"]),
            ("data.train_size = 60001", &["5:19: data.train_size: mnist has 60,000 train images, found 60,001"]),
            ("data.test_size = [10, 10001]", &["5:23: data.test_size: mnist has 10,000 test images, found 10,001"]),
            ("data.std = [0]", &["5:13: data.std: must be above 0 and finite, found 0"]),
            ("data.mean = [nan]", &["5:14: data.mean: must be finite, found nan"]),
            ("data.mean = [0.1, 0.2]", &["5:13: data.mean: mnist needs one number for each of its 1 channel, found 2"]),
            ("data.augment.crop = 17", &["5:21: data.augment.crop: must be from 0 to 16, found 17"]),
            ("init.scale = 0", &["5:14: init.scale: must be above 0 and finite, found 0"]),
            (
                "model.mlp.widths = [0, 65537]",
                &[
                    "5:21: model.mlp.widths: must be from 1 to 65,536, found 0",
                    "5:24: model.mlp.widths: must be from 1 to 65,536, found 65537",
                ],
            ),
            ("model.mlp.dropout = 1", &["5:21: model.mlp.dropout: must be at least 0 and below 1, found 1"]),
            (
                &format!("model.mlp.widths = [{}]", "1, ".repeat(65)),
                &["5:20: model.mlp.widths: may have at most 64 items, found 65"],
            ),
            (
                "model.mlp.widths = [65536, 65536]",
                &["5:20: model: mlp would have 4,347,133,962 parameters, at most 1,073,741,824 are allowed"],
            ),
            ("train.keep = [\"epoch-11\"]", &["5:15: train.keep: epoch-11 never comes: train.epochs is 10"]),
            (
                "train.keep = [\"epoch-0\"]",
                &[
                    "5:15: train.keep: \"epoch-0\" is not a moment of training; use \"init\", \"epoch-N\" or \"step-N\" with N from 1, \"final\", or many: \"epochs:5\" (every fifth), \"steps:100\", \"steps:x2\" (1, 2, 4, ...)",
                ],
            ),
            (
                "train.keep = [\"epoch-03\"]",
                &[
                    "5:15: train.keep: \"epoch-03\" is not a moment of training; use \"init\", \"epoch-N\" or \"step-N\" with N from 1, \"final\", or many: \"epochs:5\" (every fifth), \"steps:100\", \"steps:x2\" (1, 2, 4, ...)",
                ],
            ),
            (
                "train.keep = [[\"init\"], [\"epoch-7\"]]\ntrain.epochs = [9, 6]",
                &["5:26: train.keep: epoch-7 never comes: train.epochs is 6"],
            ),
        ],
    );
}

#[test]
fn values_of_optimizers_out_of_range_are_answered_with_the_range() {
    check(
        NO_OPTIMIZER,
        &[
            (
                "train.optimizer = { name = \"sgd\", lr = -0.1 }",
                &["4:40: train.optimizer.lr: must be above 0 and finite, found -0.1"],
            ),
            (
                "train.optimizer = { name = \"sgd\", lr = [0, nan, inf, 1e999] }",
                &[
                    "4:41: train.optimizer.lr: must be above 0 and finite, found 0",
                    "4:44: train.optimizer.lr: must be above 0 and finite, found nan",
                    "4:49: train.optimizer.lr: must be above 0 and finite, found inf",
                    "4:54: train.optimizer.lr: must be above 0 and finite, found 1e999",
                ],
            ),
            (
                "train.optimizer = { name = \"sgd\", momentum = 1.0 }",
                &["4:46: train.optimizer.momentum: must be at least 0 and below 1, found 1.0"],
            ),
            (
                "train.optimizer = { name = \"sgd\", nesterov = true }",
                &[
                    "4:46: train.optimizer.nesterov: needs momentum above 0 in the same optimizer; set momentum = 0.9, or leave it out",
                ],
            ),
            (
                "train.optimizer = { name = \"sgd\", nesterov = [false, true], momentum = [0, 0.9] }",
                &[
                    "4:54: train.optimizer.nesterov: needs momentum above 0 in the same optimizer; set momentum = 0.9, or leave it out",
                ],
            ),
            (
                "train.optimizer = { name = \"adamw\", eps = 0 }",
                &["4:43: train.optimizer.eps: must be above 0 and finite, found 0"],
            ),
        ],
    );
}

#[test]
fn data_sets_and_models_fit() {
    check(
        NAME,
        &[(
            "data.set = [\"mnist\", \"cifar10\"]\ndata.mean = [0.1]\ndata.train_size = [50000, 60000]\nmodel.architecture = \"mlp\"\ntrain.optimizer = \"sgd\"",
            &[
                "3:13: data.mean: cifar10 needs one number for each of its 3 channels, found 1",
                "4:27: data.train_size: cifar10 has 50,000 train images, found 60,000",
            ],
        )],
    );
}
