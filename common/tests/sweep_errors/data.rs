//! Mistakes in `[data]` that lie between settings: what belongs to one set, what fits its images.

use super::check;

/// A sweep file without its data set: a case begins on line 4.
const HEAD: &str = "name = \"x\"\nmodel.architecture = \"mlp\"\ntrain.optimizer = \"sgd\"\n";
/// An image folder: a case begins on line 8.
const FOLDER: &str = "name = \"x\"\nmodel.architecture = \"mlp\"\ntrain.optimizer = \"sgd\"\ndata.set = \"image-folder\"\ndata.folder = \"flowers\"\ndata.classes = 5\ndata.shape = [3, 8, 8]\n";

#[test]
fn every_set_with_its_own_settings_is_accepted() {
    check(
        HEAD,
        &[
            ("data.set = \"cifar100\"", &[]),
            ("data.set = \"spirals\"\ndata.train_size = 1_000_000", &[]),
            ("data.set = \"spirals\"\ndata.spirals = { classes = [2, 3], turns = 2, noise = 0, seed = 1 }", &[]),
            ("data.set = \"spirals\"\ndata.spirals = [{}, { classes = 3 }]\ndata.augment = [{}]", &[]),
            ("data.set = [\"mnist\", \"spirals\"]\ndata.spirals.turns = 1\ndata.corruption = \"none\"", &[]),
            (
                "data.set = \"mnist\"\ndata.corruption = [{ name = \"none\" }, { name = \"blur\", sigma = [1, 2] }, { name = \"block-shuffle\", blocks = 7 }]",
                &[],
            ),
            ("data.set = \"mnist\"\ndata.augment = [{ flip = true, crop = 4 }, {}]", &[]),
            ("data.set = \"mnist\"\ndata.balanced = [true, false]\ndata.train_size = 1000", &[]),
        ],
    );
    check(
        FOLDER,
        &[("", &[]), ("data.content = \"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"", &[])],
    );
}

#[test]
fn settings_of_another_set_are_refused() {
    check(
        HEAD,
        &[
            (
                "data.set = \"mnist\"\ndata.folder = \"flowers\"\ndata.classes = 10\ndata.spirals.turns = 3",
                &[
                    "5:15: data.folder: only the set image-folder has it; leave it out",
                    "6:16: data.classes: only the set image-folder has it; leave it out",
                    "7:22: data.spirals.turns: only the set spirals has it; leave it out",
                ],
            ),
            (
                "data.set = [\"mnist\", \"spirals\"]\ndata.corruption = [\"none\", { name = \"blur\", sigma = 1 }]\ndata.augment.crop = 2",
                &[
                    "5:28: data.corruption: is for images, and spirals are points of the plane; leave it out",
                    "6:21: data.augment: is for images, and spirals are points of the plane; leave it out",
                ],
            ),
            (
                "data.set = \"spirals\"\ndata.test_size = 1_000_001",
                &["5:18: data.test_size: spirals makes at most 1,000,000 test images, found 1,000,001"],
            ),
            (
                "data.set = \"spirals\"\ndata.spirals = { classes = 1 }",
                &["5:28: data.spirals.classes: must be from 2 to 256, found 1"],
            ),
        ],
    );
}

#[test]
fn a_model_that_does_not_fit_points_is_named() {
    let head = HEAD.replace("mlp", "lenet5");
    check(
        &head,
        &[(
            "data.set = \"spirals\"",
            &["2:22: model: lenet5 cannot take images of 2x1x1: it needs 28x28 or 32x32 pixels (spirals)"],
        )],
    );
}

#[test]
fn an_image_folder_needs_its_folder_shape_and_classes() {
    check(
        HEAD,
        &[(
            "data.set = \"image-folder\"",
            &[
                "4:12: data.folder: missing; say which folder below the data folder, for example folder = \"flowers\"",
                "4:12: data.shape: missing; say channels, height and width of every image, for example shape = [3, 32, 32]",
                "4:12: data.classes: missing; say how many class folders there are, for example classes = 10",
            ],
        )],
    );
    let head = FOLDER.replace("data.shape = [3, 8, 8]\n", "").replace("data.folder = \"flowers\"\n", "");
    check(
        &head,
        &[
            (
                "data.folder = \"../flowers\"\ndata.shape = [3, 8, 8]",
                &[
                    "6:15: data.folder: must be a folder below the data folder, such as \"flowers/small\", without `.`, `..` or empty words; found \"../flowers\"",
                ],
            ),
            (
                "data.folder = \"/flowers\"\ndata.shape = [2, 8, 8]",
                &[
                    "6:15: data.folder: must be a folder below the data folder, such as \"flowers/small\", without `.`, `..` or empty words; found \"/flowers\"",
                ],
            ),
            (
                "data.folder = \"a b\"\ndata.shape = [3, 8, 8]",
                &["6:15: data.folder: must be made of letters (a-z), digits, `-`, `_` and `.`; \"a b\" holds \" \""],
            ),
            (
                "data.folder = \"flowers\"\ndata.shape = [2, 8, 8]",
                &[
                    "7:14: data.shape: must be channels (1 or 3), height and width, for example [3, 32, 32]; found [2, 8, 8]",
                ],
            ),
            (
                "data.folder = \"flowers\"\ndata.shape = [8, 8]",
                &[
                    "7:14: data.shape: must be channels (1 or 3), height and width, for example [3, 32, 32]; found [8, 8]",
                ],
            ),
        ],
    );
    check(
        FOLDER,
        &[("data.content = \"abc\"", &["8:16: data.content: must be 64 hexadecimal digits (0-9, a-f), found \"abc\""])],
    );
}

#[test]
fn corruptions_are_checked_against_the_images() {
    check(
        HEAD,
        &[
            (
                "data.set = [\"mnist\", \"cifar10\"]\ndata.corruption = { name = \"block-shuffle\", blocks = [4, 7, 8, 5] }",
                &[
                    "5:58: data.corruption.blocks: must divide height and width, and cifar10 has images of 32x32, found 7",
                    "5:61: data.corruption.blocks: must divide height and width, and mnist has images of 28x28, found 8",
                    "5:64: data.corruption.blocks: must divide height and width, and mnist has images of 28x28, found 5",
                    "5:64: data.corruption.blocks: must divide height and width, and cifar10 has images of 32x32, found 5",
                ],
            ),
            (
                "data.set = \"mnist\"\ndata.corruption = [\"gaussian-noise\", { name = \"blur\", sigma = 17 }, { name = \"blurr\" }, { level = 1 }]",
                &[
                    "5:20: data.corruption.level: missing; it must be a number",
                    "5:63: data.corruption.sigma: must be above 0 and at most 16, found 17",
                    "5:78: data.corruption.name: \"blurr\" is not a corruption; did you mean \"blur\"? There are: none, gaussian-noise, blur, pixel-shuffle, block-shuffle",
                    "5:89: data.corruption.name: missing; there are: none, gaussian-noise, blur, pixel-shuffle, block-shuffle",
                ],
            ),
            (
                "data.set = \"mnist\"\ndata.corruption = { name = \"blur\", sigma = 1, seed = 1 }",
                &[
                    "5:47: data.corruption.seed: blur has no such setting, only gaussian-noise, pixel-shuffle, block-shuffle has",
                ],
            ),
        ],
    );
}

#[test]
fn balance_needs_a_size() {
    check(
        HEAD,
        &[(
            "data.set = \"mnist\"\ndata.balanced = true",
            &[
                "5:17: data.balanced: says how train_size images are chosen; set train_size too, for example train_size = 1000",
            ],
        )],
    );
}
