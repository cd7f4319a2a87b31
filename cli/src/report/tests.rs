//! The report of a small made-up sweep.

use serde_json::Value;
use transect_common::pb;
use transect_common::shape::uniform_loss;
use transect_common::stats::{self, Method};

use super::document::Block;
use super::gather::Gathered;
use super::page::{Page, page};
use super::synthetic::{accuracy, bump, gathered};
use super::*;

const WISHES: Wishes = Wishes { split: "test", baseline: None, rise: 0.1 };

fn paged(gathered: &Gathered) -> (Measured, Page) {
    let measured = measured(gathered);
    let page = page(gathered, &measured, &WISHES);
    (measured, page)
}

fn row<'a>(rows: &'a Value, key: &str, name: &str) -> &'a Value {
    rows.as_array().unwrap().iter().find(|row| row[key] == name).unwrap()
}

#[test]
fn accuracy_is_that_of_the_last_epoch_by_setting() {
    let (measured, page) = paged(&gathered());
    assert_eq!(measured.settings.labels, ["weight_decay=0", "weight_decay=5e-4"]);
    let values: Vec<f64> = (0..6).map(|seed| accuracy(seed, true)).collect();
    let told = &row(&page.statistics["accuracy"], "setting", "weight_decay=5e-4")["test_accuracy"];
    assert_eq!(told["mean"], stats::mean(&values).unwrap());
    assert_eq!((&told["sd"], &told["n"]), (&Value::from(stats::sd(&values)), &Value::from(6)));
}

#[test]
fn the_claims_are_the_statistics_of_the_runs() {
    let (_, page) = paged(&gathered());
    let tables = page.statistics["correlations"].as_array().unwrap();
    assert_eq!(tables.len(), 2, "test and train");
    let found = row(&tables[0]["rows"], "quantity", "bump");
    let runs: Vec<(u64, bool)> = (0..6).flat_map(|seed| [(seed, false), (seed, true)]).collect();
    let x: Vec<f64> = runs.iter().map(|&(seed, decayed)| 2.0 + bump(seed, decayed) - 2.0).collect();
    let y: Vec<f64> = runs.iter().map(|&(seed, decayed)| accuracy(seed, decayed)).collect();
    let expected = stats::across(&x, &y, Method::Spearman).unwrap();
    assert_eq!(found["n"], 12);
    assert!((found["across"]["spearman"]["value"].as_f64().unwrap() - expected.value).abs() < 1e-12);
    assert!(found["between"]["pearson"]["silent"].as_str().unwrap().contains("n = 2 is too small"));
    // Half of the settings never vary, which leaves those runs without a say but not the others.
    assert!(found["within"]["spearman"]["value"].as_f64().unwrap().abs() < 1.0);
    let level = row(&tables[0]["rows"], "quantity", "level");
    assert!(level["across"]["pearson"].is_object());
}

#[test]
fn settings_are_compared_run_by_run() {
    let (_, page) = paged(&gathered());
    let [pair] = page.statistics["differences"].as_array().unwrap().as_slice() else { panic!() };
    assert_eq!((&pair["base"], &pair["other"]), (&Value::from("weight_decay=0"), &Value::from("weight_decay=5e-4")));
    assert_eq!(pair["paired"]["n"], 6);
    assert!((pair["paired"]["mean"].as_f64().unwrap() - 0.02).abs() < 1e-12);
}

#[test]
fn plateaus_are_told_against_the_loss_of_knowing_nothing() {
    let gathered = gathered();
    let measured = measured(&gathered);
    let (key, line) = measured.runs[1].lines.iter().find(|(key, _)| key.is_whole() && key.split == "test").unwrap();
    assert_eq!(measured.runs[1].classes, Some(10));
    let level = quantities::quantities(&measured).into_iter().find(|q| q.key == "level").unwrap();
    let found = level.of(&measured.runs[1], line).unwrap();
    assert!((found - (2.0 - uniform_loss(10))).abs() < 0.06, "{key:?} {found}");
}

#[test]
fn layers_are_set_back_as_their_lines_allow() {
    let (_, page) = paged(&gathered());
    let layers = page.statistics["layers"].as_array().unwrap();
    let masks: Vec<&str> = layers.iter().map(|l| l["line"]["mask"].as_str().unwrap()).collect();
    assert_eq!(masks, ["fc1", "fc2", "fc3"]);
    let mean = |i: usize| layers[i]["set_back"][0]["mean"].as_f64().unwrap();
    assert!((mean(0) - 0.04).abs() < 1e-9 && (mean(1) - 0.25).abs() < 1e-9 && mean(2) == 1.0);
}

#[test]
fn few_runs_say_nothing_and_the_page_says_so() {
    let mut few = gathered();
    let kept: Vec<String> = few.curves.iter().filter(|c| c.seed == Some(0)).map(|c| c.run.clone()).collect();
    few.curves.retain(|c| kept.contains(&c.run));
    few.points.retain(|p| kept.contains(&p.run));
    let (_, page) = paged(&few);
    let html = document::html("t", &page.blocks);
    assert!(html.contains("n = 2 is too small to say anything, at least 5 are needed"), "{html}");
    assert!(html.contains("n = 1 is too small to say anything, at least 3 are needed"));
}

#[test]
fn runs_that_only_serve_others_are_mentioned_and_left_out() {
    let mut with = gathered();
    with.curves.push(pb::CurvePoint {
        run: "f".repeat(64),
        model: "mlp".to_owned(),
        seed: Some(0),
        settings: r#"{"source of":"case a"}"#.to_owned(),
        split: "test".to_owned(),
        accuracy: 0.1,
        ..pb::CurvePoint::default()
    });
    with.sweep.runs += 1;
    let (measured, page) = paged(&with);
    assert_eq!((measured.runs.len(), measured.sources), (12, 1));
    let markdown = document::markdown("t", &page.blocks);
    assert!(
        markdown.contains("12 of 12 runs have results") && markdown.contains("1 run that only trained"),
        "{markdown}"
    );
}

#[test]
fn numbers_of_whole_lines_join_the_claims_when_they_are_stored() {
    let mut with = gathered();
    for (i, run) in measured(&with).runs.iter().enumerate() {
        let of = |name: &str, split: &str, value: f64| pb::LineMeasure {
            run: run.digest.clone(),
            from_tag: "init".to_owned(),
            to_tag: "final".to_owned(),
            mask: "all".to_owned(),
            hold: "final".to_owned(),
            batch_norm: "none".to_owned(),
            split: split.to_owned(),
            name: name.to_owned(),
            value,
            ..pb::LineMeasure::default()
        };
        with.measures.push(of("distance", "", 10.0 + i as f64));
        with.measures.push(of("ensemble-accuracy", "test", 0.9));
    }
    let (_, page) = paged(&with);
    let tables = page.statistics["correlations"].as_array().unwrap();
    let quantities: Vec<&str> =
        tables[0]["rows"].as_array().unwrap().iter().map(|r| r["quantity"].as_str().unwrap()).collect();
    assert!(quantities.contains(&"distance") && !quantities.contains(&"ensemble-accuracy"), "{quantities:?}");
    assert_eq!(page.statistics["distance_and_bump"].as_array().unwrap().len(), 2);
    assert_eq!(page.statistics["inside"][0]["ensemble"]["n"], 6);
}

#[test]
fn the_same_data_give_the_same_bytes_in_a_page_that_stands_alone() {
    let (measured, page) = paged(&gathered());
    let (again, same) = paged(&gathered());
    let html = document::html("made-up: report", &page.blocks);
    assert_eq!(html, document::html("made-up: report", &same.blocks));
    assert_eq!(page.statistics.to_string(), same.statistics.to_string());
    assert_eq!(rows::csv(&measured), rows::csv(&again));
    let outside = html.replace("http://www.w3.org/2000/svg", "");
    assert!(!outside.contains("http:") && !outside.contains("https:") && !outside.contains("<script"));
    let figures: Vec<&str> = page
        .blocks
        .iter()
        .filter_map(|b| if let Block::Figure { name, .. } = b { Some(name.as_str()) } else { None })
        .collect();
    assert_eq!(figures, ["lines", "scatter", "set-back", "layers", "heat-map", "training"]);
}

#[test]
fn the_rows_of_runs_have_every_number_once() {
    let measured = measured(&gathered());
    let csv = rows::csv(&measured);
    let mut lines = csv.lines();
    let header = lines.next().unwrap();
    assert!(
        header.starts_with("run,model,seed,setting,train.seed,train.optimizer.weight_decay,model.architecture"),
        "{header}"
    );
    assert!(header.contains("test bump") && header.contains("train half_drop"));
    let width = header.split(',').count();
    assert_eq!(lines.clone().count(), 12);
    assert!(lines.all(|line| line.split(',').count() == width));
}
