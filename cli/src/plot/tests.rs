use std::fs;

use super::*;

#[path = "synthetic.rs"]
mod synthetic;

fn first() -> (Vec<pb::LinePoint>, Vec<pb::CurvePoint>) {
    let points = ["mlp", "lenet5"].into_iter().flat_map(synthetic::points).collect();
    let curves = ["mlp", "lenet5"].into_iter().flat_map(|model| synthetic::curves(model, 2)).collect();
    (points, curves)
}

fn names(files: &[PathBuf]) -> Vec<&str> {
    files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect()
}

#[test]
fn every_figure_is_written_as_svg_and_png_with_its_labels() {
    let folder = tempfile::tempdir().unwrap();
    let (points, curves) = first();
    let files = draw("first", &points, &curves, &folder.path().join("plots")).unwrap();
    assert_eq!(
        names(&files),
        [
            "first-loss.svg",
            "first-loss.png",
            "first-accuracy.svg",
            "first-accuracy.png",
            "first-training.svg",
            "first-training.png"
        ]
    );
    let loss = fs::read_to_string(&files[0]).unwrap();
    for text in [
        "first: loss on the line from init to final",
        ">alpha (0 = init, 1 = final)<",
        ">train loss (nats)<",
        ">test loss (nats)<",
        ">mlp<",
        ">lenet5<",
        ">all<",
        ">conv2<",
        "held at final",
        "over 2,000 train and 10,000 test images",
        "Thin: seeds\u{a0}0,\u{a0}1,\u{a0}2; thick: their mean.",
    ] {
        assert!(loss.contains(text), "{text} is missing");
    }
    let training = fs::read_to_string(&files[4]).unwrap();
    assert!(training.contains(">epoch<") && training.contains(">accuracy<"));
}

#[test]
fn png_files_have_two_pixels_for_each_of_the_svg() {
    let folder = tempfile::tempdir().unwrap();
    let files = draw("first", &[], &first().1, folder.path()).unwrap();
    let svg = fs::read_to_string(&files[0]).unwrap();
    let png = fs::read(&files[1]).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let pixels = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    let size = format!("width=\"{}\" height=\"{}\"", pixels(16) / png::SCALE, pixels(20) / png::SCALE);
    assert!(svg.contains(&size), "{size}");
}

#[test]
fn the_same_rows_in_any_order_give_the_same_bytes() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut points, mut curves) = first();
    let before = draw("first", &points, &curves, one.path()).unwrap();
    points.reverse();
    curves.reverse();
    let after = draw("first", &points, &curves, two.path()).unwrap();
    for (a, b) in before.iter().zip(&after) {
        assert!(fs::read(a).unwrap() == fs::read(b).unwrap(), "{} differs", a.display());
    }
}

#[test]
fn svg_files_are_well_formed_whatever_things_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let mut points = synthetic::points("mlp");
    for point in &mut points {
        point.settings = r#"{"init.scheme":"<a> & \"b\"\u0007"}"#.to_owned();
    }
    let files = draw("a <sweep> & more", &points, &[], folder.path()).unwrap();
    assert_eq!(names(&files)[0], "a--sweep----more-loss.svg");
    let svg = fs::read_to_string(&files[0]).unwrap();
    assert_well_formed(&svg);
    assert!(svg.contains("scheme = &lt;a&gt; &amp; \"b\" "));
}

/// Every tag is closed in order, every `&` begins an entity, and no control character is left.
fn assert_well_formed(svg: &str) {
    assert!(!svg.contains(|c: char| c.is_control() && c != '\n'));
    let mut open = vec![];
    for piece in svg.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap();
        let entities = text.matches('&').count();
        assert_eq!(
            entities,
            ["&amp;", "&lt;", "&gt;"].map(|e| text.matches(e).count()).iter().sum::<usize>(),
            "{text}"
        );
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().unwrap()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn values_that_are_not_finite_are_counted_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let files = draw("deep", &synthetic::points("resnet20"), &[], folder.path()).unwrap();
    let svg = fs::read_to_string(&files[0]).unwrap();
    assert!(svg.contains("values are not finite and leave gaps."));
    assert!(svg.contains("batch norm: interpolate"));
    let layers = fs::read_to_string(&files[2]).unwrap();
    assert_eq!(names(&files)[2], "deep-layers.svg");
    assert!(layers.contains(">layer3.2.bn2<") && layers.contains(">test loss (nats)<"));
    assert!(!svg.contains("NaN") && !layers.contains("NaN") && !svg.contains("inf\"") && !svg.contains("inf,"));
}

#[test]
fn settings_other_than_the_seed_get_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut points = vec![];
    for lr in ["0.1", "0.01"] {
        let settings = format!(r#"{{"train.optimizer.lr":{lr}}}"#);
        points.extend(synthetic::points("mlp").into_iter().map(|p| pb::LinePoint { settings: settings.clone(), ..p }));
    }
    let files = draw("rates", &points, &[], folder.path()).unwrap();
    assert_eq!(names(&files)[0], "rates-loss-lr-0.01.svg");
    assert_eq!(names(&files)[2], "rates-loss-lr-0.1.svg");
    assert!(fs::read_to_string(&files[2]).unwrap().contains(">lr = 0.1<"));
}

#[test]
fn more_models_than_fit_a_figure_make_more_figures() {
    let folder = tempfile::tempdir().unwrap();
    let mut points = vec![];
    for width in 1..=5 {
        let settings = format!(r#"{{"model.mlp.widths":[{width}]}}"#);
        points.extend(synthetic::points("mlp").into_iter().map(|p| pb::LinePoint { settings: settings.clone(), ..p }));
    }
    let files = draw("widths", &points, &[], folder.path()).unwrap();
    assert_eq!(names(&files)[2], "widths-loss-2.svg");
    assert!(fs::read_to_string(&files[2]).unwrap().contains(">widths = [5]<"));
}

#[test]
fn a_sweep_without_results_says_so_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("plots");
    let error = draw("first", &[], &[], &out).unwrap_err();
    assert_eq!(error.to_string(), "sweep first has no results to draw yet; `transect watch first` follows it");
    assert!(!out.exists());
}

#[test]
fn a_folder_that_cannot_be_made_or_written_is_named() {
    // A file in the way stops root too, which a read-only folder would not.
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("plots");
    fs::write(&out, "").unwrap();
    let error = draw("first", &[], &first().1, &out).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot make the folder {}", out.display())), "{error}");

    let out = folder.path().join("others");
    for file in ["first-training.svg", "first-training.png"] {
        let _ = fs::remove_dir_all(&out);
        fs::create_dir_all(out.join(file)).unwrap();
        let error = draw("first", &[], &first().1, &out).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot write the figure {}", out.join(file).display())), "{error}");
    }
}
