//! Text that cannot be read, and where mistakes are said to be.

use transect_common::sweep::{MAX_FILE_BYTES, SweepFile};

use super::{SWEEP, check, mistakes};

#[test]
fn columns_count_characters() {
    let text =
        "name = \"x\"\ndata = { \"ä\" = 1, set = \"öäü\" }\nmodel.architecture = \"mlp\"\ntrain.optimizer = \"sgd\"\n";
    assert_eq!(
        mistakes(text),
        [
            "2:10: data.ä: unknown setting; [data] has: set, train_size, test_size, balanced, label_noise, corruption, partial, mean, std, augment, spirals, folder, shape, classes, content",
            "2:25: data.set: \"öäü\" is not a data set; there are: mnist, fashion-mnist, cifar10, cifar100, spirals, image-folder",
        ]
    );
    let with_mark_and_returns = format!("\u{feff}{}train.epochs = 0\r\n", SWEEP.replace('\n', "\r\n"));
    assert_eq!(mistakes(&with_mark_and_returns), ["5:16: train.epochs: must be from 1 to 100,000, found 0"]);
}

#[test]
fn what_is_not_toml_is_said_where() {
    check(
        "",
        &[
            ("name = \"a\"\nname = \"b\"", &["2:1: not TOML: duplicate key"]),
            ("[train]\n[train]", &["2:2: not TOML: duplicate key"]),
            ("name = \"a", &["1:10: not TOML: invalid basic string, expected `\"`"]),
            ("a.b.c.d.e.f.g.h.i = 1", &["1:16: this key has more than 8 parts; settings have at most 4"]),
        ],
    );
    assert!(mistakes("name = x\n")[0].starts_with("1:8: not TOML: "));
    assert!(mistakes(&"[".repeat(100_000))[0].starts_with("1:"));
    assert!(mistakes(&format!("a = {}", "[".repeat(100_000)))[0].contains("not TOML"));
    assert!(mistakes(&format!("{} = 1", vec!["a"; 300_000].join(".")))[0].contains("more than 8 parts"));
    assert!(mistakes(&format!("\"#\" . {} = 1", vec!["a"; 200_000].join(" . ")))[0].contains("more than 8 parts"));
}

#[test]
fn bytes_that_are_not_utf_8_are_found() {
    let errors = SweepFile::parse_bytes(b"name = \"x\"\n# \xc3\xa4 \xff").expect_err("byte 16 is wrong");
    assert_eq!(errors.to_string(), "2:5: not UTF-8: byte 16 is 0xff; save the file as UTF-8");
    assert!(SweepFile::parse_bytes(SWEEP.as_bytes()).is_ok());
}

#[test]
fn a_file_may_be_one_mebibyte_and_no_more() {
    let filled = |bytes: usize| format!("{SWEEP}#{}", "x".repeat(bytes - SWEEP.len() - 1));
    assert_eq!(mistakes(&filled(MAX_FILE_BYTES)), [""; 0]);
    assert_eq!(
        mistakes(&filled(MAX_FILE_BYTES + 1)),
        ["1:1: the file has 1,048,577 bytes, at most 1,048,576 (1 MiB) are read"]
    );
}

#[test]
fn a_long_list_of_mistakes_is_cut() {
    let text = format!("{SWEEP}train.seed = [{}]", "-1, ".repeat(100_000));
    let found = mistakes(&text);
    assert_eq!(found.len(), 51);
    assert!(found[50].ends_with("more mistakes from here on are not listed"), "{}", found[50]);
}
