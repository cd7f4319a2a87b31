//! Settings and names that are unknown, missing or out of place.

use super::{NAME, NO_OPTIMIZER, PROBE, SWEEP, check, mistakes};

#[test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn unknown_settings_are_answered_with_the_nearest() {
    check(
        SWEEP,
        &[
            (
                "nam = 1",
                &[
                    "5:1: nam: unknown setting; did you mean `name`? a sweep file has: name, extends, data, model, init, train, imported, case, zip, exclude, include, probe, claim, schedule",
                ],
            ),
            (
                "seed = 1",
                &[
                    "5:1: seed: unknown setting; did you mean `train.seed`? a sweep file has: name, extends, data, model, init, train, imported, case, zip, exclude, include, probe, claim, schedule",
                ],
            ),
            (
                "train.epoch = 1",
                &[
                    "5:7: train.epoch: unknown setting; did you mean `epochs`? [train] has: seed, optimizer, schedule, warmup_epochs, epochs, batch_size, label_smoothing, clip_norm, precision, stop, keep, layers",
                ],
            ),
            (
                "train.lr = 0.1",
                &[
                    "5:7: train.lr: unknown setting; did you mean `train.optimizer.lr`? [train] has: seed, optimizer, schedule, warmup_epochs, epochs, batch_size, label_smoothing, clip_norm, precision, stop, keep, layers",
                ],
            ),
            (
                "data.trainsize = 1",
                &[
                    "5:6: data.trainsize: unknown setting; did you mean `train_size`? [data] has: set, train_size, test_size, balanced, label_noise, corruption, partial, mean, std, augment, spirals, folder, shape, classes, content",
                ],
            ),
            (
                "data.augment = { flips = true }",
                &["5:18: data.augment.flips: unknown setting; did you mean `flip`? [data.augment] has: flip, crop"],
            ),
            (
                "model.widths = [1]",
                &[
                    "5:7: model.widths: unknown setting; did you mean `model.mlp.widths`? [model] has: architecture, mlp, lenet5, resnet20, resnet32, resnet44, resnet56, resnet110, resnet18, resnet34, resnet50, simple-cnn, vgg11, vgg16, efficientnet-lite0, vit",
                ],
            ),
            (
                "model.mlp.width = [1]",
                &[
                    "5:11: model.mlp.width: unknown setting; did you mean `widths`? [model.mlp] has: widths, activation, batch_norm, dropout",
                ],
            ),
            (
                "model.resnt20 = {}",
                &[
                    "5:7: model.resnt20: unknown setting; did you mean `resnet20`? [model] has: architecture, mlp, lenet5, resnet20, resnet32, resnet44, resnet56, resnet110, resnet18, resnet34, resnet50, simple-cnn, vgg11, vgg16, efficientnet-lite0, vit",
                ],
            ),
            (
                "init.seed = 1",
                &[
                    "5:6: init.seed: unknown setting; did you mean `train.seed`? [init] has: scheme, scale, adversarial, from, layers",
                ],
            ),
            (
                "init.\"a\\nb\" = 1",
                &["5:6: init.a\\nb: unknown setting; [init] has: scheme, scale, adversarial, from, layers"],
            ),
        ],
    );
    check(
        NO_OPTIMIZER,
        &[
            (
                "train.optimizer = { name = \"sgd\", beta1 = 0.9 }",
                &["4:35: train.optimizer.beta1: sgd has no such setting, only adam, adamw has"],
            ),
            (
                "train.optimizer = { name = \"sgd\", momentun = 0.9 }",
                &[
                    "4:35: train.optimizer.momentun: unknown setting; did you mean `momentum`? [train.optimizer] has: name, lr, momentum, weight_decay, nesterov",
                ],
            ),
            (
                "train.optimizer = { name = [\"sgd\", \"adamw\"], momentum = 0.9 }",
                &[
                    "4:46: train.optimizer.momentum: adamw has no such setting; write a list of tables instead, one for each name",
                ],
            ),
        ],
    );
    check(
        PROBE,
        &[
            (
                "alpha = 1",
                &[
                    "7:1: probe.alpha: unknown setting; did you mean `alphas`? [probe] has: kind, name, from, to, hold, alphas, layers, splits, batch_norm, subset, batch_size, align, normalize, measures",
                ],
            ),
            (
                "alphas = { start = 0, stop = 1, count = 3, step = 2 }",
                &[
                    "7:44: probe.alphas.step: unknown key of a grid; did you mean `stop`? a grid is written { start = 0, stop = 1, count = 25 }",
                ],
            ),
        ],
    );
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    check(
        "name = \"x\"\n",
        &[(
            "data.set = \"mnst\"\nmodel.architecture = \"lenet\"\ntrain.optimizer = \"adan\"",
            &[
                "2:12: data.set: \"mnst\" is not a data set; did you mean \"mnist\"? There are: mnist, fashion-mnist, cifar10, cifar100, spirals, image-folder",
                "3:22: model.architecture: \"lenet\" is not an architecture; did you mean \"lenet5\"? There are: mlp, lenet5, resnet20, resnet32, resnet44, resnet56, resnet110, resnet18, resnet34, resnet50, simple-cnn, vgg11, vgg16, efficientnet-lite0, vit",
                "4:19: train.optimizer.name: \"adan\" is not an optimizer; did you mean \"adam\"? There are: sgd, adam, adamw, rmsprop, sam",
            ],
        )],
    );
    check(
        SWEEP,
        &[
            (
                "train.schedule = \"cosin\"",
                &[
                    "5:18: train.schedule.name: \"cosin\" is not a schedule; did you mean \"cosine\"? There are: constant, step, cosine, milestones, cyclic",
                ],
            ),
            (
                "init.scheme = \"kaiming\"",
                &[
                    "5:15: init.scheme: \"kaiming\" is not an initialisation; there are: pytorch, kaiming-uniform, kaiming-normal, xavier-uniform, xavier-normal, lecun-normal, lecun-uniform, orthogonal, constant",
                ],
            ),
        ],
    );
    check(
        PROBE,
        &[
            (
                "batch_norm = \"none\"",
                &[
                    "7:14: probe.batch_norm: \"none\" is not a batch-norm mode; there are: interpolate, recalibrate, batch",
                ],
            ),
            ("splits = [\"train\", \"val\"]", &["7:20: probe.splits: \"val\" is not a split; there are: train, test"]),
        ],
    );
}

#[test]
fn missing_settings_are_answered_with_an_example() {
    check(
        "",
        &[(
            "",
            &[
                "1:1: name: missing; name the sweep, for example name = \"first\"",
                "1:1: data.set: missing; say for example [data] and set = \"fashion-mnist\" below it",
                "1:1: model.architecture: missing; say for example [model] and architecture = \"mlp\" below it",
                "1:1: train: missing; say how to train under [train], or name checkpoints trained elsewhere under [imported]",
            ],
        )],
    );
    check(
        NAME,
        &[(
            "[data]\n[model]\n  [train]",
            &[
                "2:1: data.set: missing; it must be a data set (mnist, fashion-mnist, cifar10, cifar100, spirals, image-folder)",
                "3:1: model.architecture: missing; it must be an architecture (mlp, lenet5, resnet20, resnet32, resnet44, resnet56, resnet110, resnet18, resnet34, resnet50, simple-cnn, vgg11, vgg16, efficientnet-lite0, vit)",
            ],
        )],
    );
    check(
        SWEEP,
        &[
            (
                "train.schedule = \"step\"",
                &[
                    "5:18: train.schedule.every: missing; say after how many epochs the rate drops, for example every = 30",
                ],
            ),
            (
                "train.schedule = { floor = 0.1 }",
                &["5:18: train.schedule.name: missing; there are: constant, step, cosine, milestones, cyclic"],
            ),
            (
                "train.epochs = { start = 1 }",
                &[
                    "5:16: train.epochs.stop: missing; a grid is written { start = 0, stop = 1, count = 25 }",
                    "5:16: train.epochs.count: missing; a grid is written { start = 0, stop = 1, count = 25 }",
                ],
            ),
        ],
    );
}

#[test]
fn options_belong_to_architectures_of_the_sweep() {
    check(
        SWEEP,
        &[(
            "[model.lenet5]",
            &[
                "5:8: model.lenet5: options of an architecture that is not in this sweep (mlp); add it to model.architecture, or leave them out",
            ],
        )],
    );
    check(
        PROBE,
        &[(
            "[model.lenet5]\npadding = 1",
            &["8:1: model.lenet5.padding: unknown setting; [model.lenet5] has: activation, dropout"],
        )],
    );
}

#[test]
fn names_of_sweeps_are_words() {
    let rest = "\ndata.set = \"mnist\"\nmodel.architecture = \"mlp\"\ntrain.optimizer = \"sgd\"\n";
    let long = "a".repeat(65);
    for (name, expected) in [
        ("\"\"", "1:8: name: must be 1 to 64 characters long, found 0"),
        ("\"a b\"", "1:8: name: must be made of letters (a-z), digits, `-`, `_` and `.`; \"a b\" holds \" \""),
        ("\"a/b\"", "1:8: name: must be made of letters (a-z), digits, `-`, `_` and `.`; \"a/b\" holds \"/\""),
        (&format!("\"{long}\""), "1:8: name: must be 1 to 64 characters long, found 65"),
        ("3", "1:8: name: must be a name, found 3"),
        ("[\"a\"]", "1:8: name: must be a name, found a list"),
    ] {
        assert_eq!(mistakes(&format!("name = {name}{rest}")), [expected]);
    }
}
