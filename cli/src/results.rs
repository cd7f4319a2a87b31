//! `transect results` and `transect plot`: what a sweep measured, as a table, as rows, as figures.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use transect_common::pb;

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::errors::{Failure, Outcome};
use crate::output::{Output, written};
use crate::refined::saved;
use crate::summary::{LEGEND, summarise};
use crate::{json, plot as figures, status};

/// Which results, and how.
#[derive(Debug, Args)]
pub struct ResultsArgs {
    /// The sweep: its id, or its name (the newest of that name)
    sweep: String,
    /// `table` condenses: one row for each model and each line; `csv` and `jsonl` give every point
    #[arg(long, value_enum, default_value = "table", hide_possible_values = true, value_name = "table|csv|jsonl")]
    format: Format,
    /// Give the training curves instead of the lines (csv and jsonl)
    #[arg(long)]
    curves: bool,
    /// Give the numbers that are measured of whole lines (csv and jsonl)
    #[arg(long, conflicts_with = "curves")]
    measures: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Csv,
    Jsonl,
}

/// What to draw, and where.
#[derive(Debug, Args)]
pub struct PlotArgs {
    /// The sweep: its id, or its name (the newest of that name)
    sweep: String,
    /// Folder for the figures; HOME/plots without it
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Shows or exports results.
pub async fn results(global: &Global, output: Output, args: ResultsArgs) -> Outcome {
    let format = if output.is_json() && args.format == Format::Table { Format::Jsonl } else { args.format };
    if (args.curves || args.measures) && format == Format::Table {
        let what = if args.curves { "--curves" } else { "--measures" };
        return Err(Failure::Usage(format!("{what} gives rows, so choose --format csv or --format jsonl")));
    }
    let session = Session::open(global, Need::Database).await?;
    let outcome = match (format, args.curves) {
        (Format::Csv, false) if args.measures => measures(&session, &args.sweep, MEASURE_HEADER, measure_csv).await,
        (Format::Jsonl, false) if args.measures => {
            measures(&session, &args.sweep, "", |m| json::line_measure(m).to_string()).await
        }
        (Format::Table, _) => condensed(&session, output, &args.sweep).await,
        (Format::Csv, false) => lines(&session, &args.sweep, LINE_HEADER, line_csv).await,
        (Format::Jsonl, false) => lines(&session, &args.sweep, "", |p| json::line_point(p).to_string()).await,
        (Format::Csv, true) => curves(&session, &args.sweep, CURVE_HEADER, curve_csv).await,
        (Format::Jsonl, true) => curves(&session, &args.sweep, "", |p| json::curve_point(p).to_string()).await,
    };
    session.close().await;
    outcome
}

async fn condensed(session: &Session, output: Output, sweep: &str) -> Outcome {
    let (sweep, measured) = measured(session, sweep).await?;
    output.text(&status::headline(&sweep))?;
    let summary = summarise(&measured.points, &measured.curves);
    if !summary.models.is_empty() {
        output.text(&format!("\n{}", summary.models_table()))?;
    }
    if !summary.lines.is_empty() {
        let table = summary.lines_table(usize::MAX);
        output.text(&format!("\nMean {} loss along each line:\n{table}\n{LEGEND}", summary.split()))?;
    }
    if let Some(saved) = saved(&measured.measures) {
        output.text(&format!("\n{saved}"))?;
    }
    output.note(&format!("\nEvery point: transect results {} --format csv", sweep.name));
    Ok(())
}

/// All that a sweep measured.
#[derive(Debug, Default)]
pub struct Measured {
    /// Points of lines.
    pub points: Vec<pb::LinePoint>,
    /// Numbers of whole lines.
    pub measures: Vec<pb::LineMeasure>,
    /// Training curves.
    pub curves: Vec<pb::CurvePoint>,
}

/// Reads everything that a sweep measured so far.
pub async fn measured(session: &Session, sweep: &str) -> Result<(pb::Sweep, Measured), Failure> {
    let mut client = session.sweeps();
    let got = client.get(pb::GetRequest { sweep: sweep.to_owned() }).await?.into_inner();
    let found = got.sweep.unwrap_or_default();
    let mut all = Measured::default();
    let mut rows = client.results(pb::ResultsRequest { sweep: found.sweep_id.clone() }).await?.into_inner();
    while let Some(page) = rows.message().await? {
        all.points.extend(page.points);
        all.measures.extend(page.measures);
    }
    let mut rows = client.curves(pb::CurvesRequest { sweep: found.sweep_id.clone() }).await?.into_inner();
    while let Some(page) = rows.message().await? {
        all.curves.extend(page.points);
    }
    Ok((found, all))
}

/// Streams every point of every line as one text line each.
async fn lines(session: &Session, sweep: &str, header: &str, row: fn(&pb::LinePoint) -> String) -> Outcome {
    let request = pb::ResultsRequest { sweep: sweep.to_owned() };
    let mut pages = session.sweeps().results(request).await?.into_inner();
    let mut out = Rows::begin(header)?;
    while let Some(page) = pages.message().await? {
        out.write(page.points.iter().map(row))?;
    }
    out.end()
}

async fn measures(session: &Session, sweep: &str, header: &str, row: fn(&pb::LineMeasure) -> String) -> Outcome {
    let request = pb::ResultsRequest { sweep: sweep.to_owned() };
    let mut pages = session.sweeps().results(request).await?.into_inner();
    let mut out = Rows::begin(header)?;
    while let Some(page) = pages.message().await? {
        out.write(page.measures.iter().map(row))?;
    }
    out.end()
}

async fn curves(session: &Session, sweep: &str, header: &str, row: fn(&pb::CurvePoint) -> String) -> Outcome {
    let request = pb::CurvesRequest { sweep: sweep.to_owned() };
    let mut pages = session.sweeps().curves(request).await?.into_inner();
    let mut out = Rows::begin(header)?;
    while let Some(page) = pages.message().await? {
        out.write(page.points.iter().map(row))?;
    }
    out.end()
}

/// Rows on standard output, written a page at a time.
struct Rows(io::BufWriter<io::Stdout>);

impl Rows {
    fn begin(header: &str) -> Result<Self, Failure> {
        let mut rows = Self(io::BufWriter::new(io::stdout()));
        rows.write((!header.is_empty()).then(|| header.to_owned()).into_iter())?;
        Ok(rows)
    }

    fn write(&mut self, mut lines: impl Iterator<Item = String>) -> Outcome {
        written(lines.try_for_each(|line| writeln!(self.0, "{line}")))
    }

    fn end(mut self) -> Outcome {
        written(self.0.flush())
    }
}

const LINE_HEADER: &str = "run,model,seed,settings,from_tag,to_tag,mask,hold,batch_norm,split,alpha,loss,accuracy,count,\
     elsewhere,align,normalize,refined";
const MEASURE_HEADER: &str =
    "run,model,seed,settings,from_tag,to_tag,mask,hold,batch_norm,split,name,value,elsewhere,align,normalize";
const CURVE_HEADER: &str = "run,model,seed,settings,epoch,split,loss,accuracy,learning_rate,seconds";

fn line_csv(p: &pb::LinePoint) -> String {
    let seed = p.seed.map(|s| s.to_string()).unwrap_or_default();
    let words =
        [&p.run, &p.model, &seed, &p.settings, &p.from_tag, &p.to_tag, &p.mask, &p.hold, &p.batch_norm, &p.split];
    let (alpha, loss, accuracy, count) = (p.alpha, p.loss, p.accuracy, p.count);
    let (elsewhere, align, normalize) = (p.elsewhere.as_deref().unwrap_or_default(), p.align, &p.normalize);
    let words = words.map(|w| quoted(w)).join(",");
    format!("{words},{alpha},{loss},{accuracy},{count},{elsewhere},{align},{normalize},{}", p.refined)
}

fn measure_csv(m: &pb::LineMeasure) -> String {
    let seed = m.seed.map(|s| s.to_string()).unwrap_or_default();
    let words = [
        &m.run,
        &m.model,
        &seed,
        &m.settings,
        &m.from_tag,
        &m.to_tag,
        &m.mask,
        &m.hold,
        &m.batch_norm,
        &m.split,
        &m.name,
    ];
    let (elsewhere, align, normalize) = (m.elsewhere.as_deref().unwrap_or_default(), m.align, &m.normalize);
    let words = words.map(|w| quoted(w)).join(",");
    format!("{words},{},{elsewhere},{align},{normalize}", m.value)
}

fn curve_csv(p: &pb::CurvePoint) -> String {
    let seed = p.seed.map(|s| s.to_string()).unwrap_or_default();
    let words = [&p.run, &p.model, &seed, &p.settings, &p.epoch.to_string(), &p.split];
    let (loss, accuracy, rate, seconds) = (p.loss, p.accuracy, p.learning_rate, p.seconds);
    format!("{},{loss},{accuracy},{rate},{seconds}", words.map(|w| quoted(w)).join(","))
}

/// A field as RFC 4180 wants it.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// Draws a sweep.
pub async fn plot(global: &Global, output: Output, args: PlotArgs) -> Outcome {
    let session = Session::open(global, Need::Database).await?;
    let measured = measured(&session, &args.sweep).await;
    session.close().await;
    let (sweep, measured) = measured?;
    let out = args.out.unwrap_or_else(|| global.home.join("plots"));
    let paths = figures::draw(&sweep.name, &measured.points, &measured.curves, &out).map_err(anyhow::Error::from)?;
    let shown: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    if output.is_json() {
        return output.json(&json!({ "plots": shown.into_iter().map(Value::from).collect::<Value>() }));
    }
    output.text(&shown.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_fields_are_quoted_where_they_must_be() {
        let point = pb::LinePoint {
            run: "ab".into(),
            settings: r#"{"train.seed":1,"x":2}"#.into(),
            mask: "conv*".into(),
            loss: f64::NAN,
            alpha: 0.1,
            ..Default::default()
        };
        let row = line_csv(&point);
        assert_eq!(row, r#"ab,,,"{""train.seed"":1,""x"":2}",,,conv*,,,,0.1,NaN,0,0,,false,,false"#);
        assert_eq!(LINE_HEADER.split(',').count(), 18);
        let measure = pb::LineMeasure { name: "cosine".into(), value: -0.5, align: true, ..Default::default() };
        assert_eq!(measure_csv(&measure), ",,,,,,,,,,cosine,-0.5,,true,");
        assert_eq!(MEASURE_HEADER.split(',').count(), 15);
    }
}
