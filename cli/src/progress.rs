//! How far a sweep is, and showing it: live bars on a terminal, plain lines elsewhere, JSON lines when asked.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use transect_common::pb;

use crate::errors::Outcome;
use crate::json;
use crate::output::{Output, cut, duration, grouped};

/// Points a second are taken over this long.
const WINDOW: Duration = Duration::from_secs(10);
/// Plain lines come this often.
const BETWEEN_LINES: Duration = Duration::from_secs(10);
/// Characters of what the workers are doing.
const SHOWN_DOING: usize = 68;
/// A training step costs about this many evaluations of the same images: forward, and twice that backward.
const TRAINING_COST: f64 = 3.0;

/// What was left to do when following began; only the proportion of the two matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Images x epochs of the runs to train.
    pub training_images: u64,
    /// Images that the probes evaluate.
    pub probe_images: u64,
}

/// Turns the states of a sweep into rates. The clock is passed in.
#[derive(Debug)]
pub struct Meter {
    work: Work,
    first: Option<(Instant, pb::Sweep)>,
    latest: pb::Sweep,
    activity: Vec<pb::Activity>,
    samples: VecDeque<(Instant, u64)>,
}

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Points stored in a second, lately.
    pub points_per_second: f64,
    /// Time until all is done, if it goes on like this; None while that is anyone's guess.
    pub left: Option<Duration>,
}

impl Meter {
    /// Nothing is known yet.
    pub fn new(work: Work) -> Self {
        Self { work, first: None, latest: pb::Sweep::default(), activity: vec![], samples: VecDeque::new() }
    }

    /// Takes in how the sweep is at `now`.
    pub fn update(&mut self, now: Instant, answer: pb::WatchResponse) {
        let Some(sweep) = answer.sweep else {
            return;
        };
        self.first.get_or_insert_with(|| (now, sweep.clone()));
        self.samples.push_back((now, sweep.points));
        self.latest = sweep;
        self.activity = answer.activity;
    }

    /// What to show at `now`.
    pub fn reading(&mut self, now: Instant) -> Reading {
        // One sample older than the window stays, so that the rate falls slowly when points stop coming.
        while self.samples.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.samples.pop_front();
        }
        let points_per_second = self.samples.front().map_or(0.0, |(at, points)| {
            let seconds = now.duration_since(*at).as_secs_f64().max(1.0);
            self.latest.points.saturating_sub(*points) as f64 / seconds
        });
        Reading { points_per_second, left: self.left(now) }
    }

    /// Said of a sweep that is held back.
    fn held_back(&self) -> Option<String> {
        let Self { latest, .. } = self;
        (latest.state == "paused").then(|| format!("paused (`transect resume {}` lets it go on)", latest.name))
    }

    fn left(&self, now: Instant) -> Option<Duration> {
        if self.latest.state == "paused" {
            return None;
        }
        if self.work == Work::default()
            && let Some(seconds) = self.latest.seconds_left
        {
            return Duration::try_from_secs_f64(seconds).ok();
        }
        let (began, first) = self.first.as_ref()?;
        let elapsed = now.duration_since(*began);
        let share = self.share_done(first);
        let is_telling = elapsed >= Duration::from_secs(2) && share > 0.01;
        is_telling.then(|| elapsed.mul_f64((1.0 - share).max(0.0) / share))
    }

    /// Share, 0 to 1, of the work that was left at `first`.
    fn share_done(&self, first: &pb::Sweep) -> f64 {
        let part = |done: f64, all: f64| if all > 0.0 { (done / all).min(1.0) } else { 1.0 };
        let latest = &self.latest;
        let under_way: f64 = self.activity.iter().map(|a| a.fraction).sum();
        let to_train = first.train_jobs.saturating_sub(first.train_done) as f64;
        let trained = part(latest.train_done.saturating_sub(first.train_done) as f64 + under_way, to_train);
        // Lines whose grids are refined may have fewer points than was expected.
        let to_probe = latest.points_expected.saturating_sub(first.points) as f64;
        let probed = part(latest.points.saturating_sub(first.points) as f64, to_probe);
        let (mut train_cost, mut probe_cost) =
            (TRAINING_COST * self.work.training_images as f64, self.work.probe_images as f64);
        if train_cost + probe_cost == 0.0 {
            (train_cost, probe_cost) = (to_train, to_probe);
        }
        part(train_cost * trained + probe_cost * probed, train_cost + probe_cost)
    }

    /// How the sweep was last.
    pub fn latest(&self) -> &pb::Sweep {
        &self.latest
    }

    fn trained(&self) -> String {
        format!("{} of {}", grouped(self.latest.train_done), grouped(self.latest.train_jobs))
    }

    fn points(&self) -> String {
        format!("{} of {}", grouped(self.latest.points), grouped(self.latest.points_expected))
    }

    fn rates(reading: Reading) -> String {
        let mut text = format!("{}/s", short(reading.points_per_second));
        if let Some(left) = reading.left {
            let _ = write!(text, ", {} left", duration(left.as_secs_f64()));
        }
        text
    }

    /// One line that says it all.
    fn line(&mut self, now: Instant) -> String {
        let reading = self.reading(now);
        let mut parts: Vec<String> = self.held_back().into_iter().collect();
        if self.latest.train_jobs > 0 {
            parts.push(format!("trained {}", self.trained()));
        }
        parts.push(format!("points {}", self.points()));
        if self.latest.failed > 0 {
            parts.push(format!("{} failed", grouped(self.latest.failed)));
        }
        parts.push(format!("{} points/s", short(reading.points_per_second)));
        parts.extend(reading.left.map(|left| format!("about {} left", duration(left.as_secs_f64()))));
        parts.join(", ")
    }
}

fn short(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { grouped(rate.round() as u64) }
}

/// Where progress is shown.
pub struct Display {
    meter: Meter,
    output: Output,
    view: View,
}

enum View {
    Bars(Bars),
    /// `answer`: the lines are what the command answers, rather than a note beside it.
    Lines {
        answer: bool,
        last: Option<(Instant, String)>,
    },
    /// Every state is one line of JSON.
    Json,
}

struct Bars {
    all: MultiProgress,
    trained: ProgressBar,
    points: ProgressBar,
    doing: ProgressBar,
    are_shown: bool,
}

/// A terminal's `^C` stands where it moves all by a line, so bars that are dropped (not ended) are not cleared.
impl Drop for Bars {
    fn drop(&mut self) {
        // A bar that is dropped would draw the others once more.
        self.all.set_draw_target(ProgressDrawTarget::hidden());
        if self.are_shown {
            // Nobody can be told that standard error is closed.
            let _ = writeln!(std::io::stderr());
        }
    }
}

impl Display {
    /// `answer`: progress is what the command answers (`watch`), rather than a note beside its answer (`run`).
    pub fn new(output: Output, work: Work, answer: bool) -> Self {
        let view = if answer && output.is_json() {
            View::Json
        } else if std::io::stderr().is_terminal() && (!answer || std::io::stdout().is_terminal()) {
            View::Bars(Bars::new())
        } else {
            View::Lines { answer, last: None }
        };
        Self { meter: Meter::new(work), output, view }
    }

    /// Takes in and shows how the sweep is.
    pub fn update(&mut self, answer: pb::WatchResponse) -> Outcome {
        if let View::Json = self.view {
            self.output.json(&json::watched(&answer))?;
        }
        self.meter.update(Instant::now(), answer);
        self.tick()
    }

    /// Brings what depends on the time up to date.
    pub fn tick(&mut self) -> Outcome {
        let now = Instant::now();
        match &mut self.view {
            View::Json => Ok(()),
            View::Bars(bars) => {
                bars.show(&mut self.meter, now);
                Ok(())
            }
            View::Lines { answer, last } => {
                let is_due = last.as_ref().is_none_or(|(at, _)| now.duration_since(*at) >= BETWEEN_LINES);
                if !is_due || self.meter.first.is_none() {
                    return Ok(());
                }
                let line = self.meter.line(now);
                let is_news = last.as_ref().is_none_or(|(_, text)| *text != line);
                *last = Some((now, line.clone()));
                match (is_news, *answer) {
                    (false, _) => Ok(()),
                    (true, true) => self.output.text(&line),
                    (true, false) => {
                        self.output.note(&line);
                        Ok(())
                    }
                }
            }
        }
    }

    /// Warns without tearing the bars.
    pub fn warning(&self, text: &str) {
        match &self.view {
            View::Bars(bars) => bars.all.suspend(|| self.output.warning(text)),
            View::Lines { .. } | View::Json => self.output.warning(text),
        }
    }

    /// Takes the bars off the screen and gives the sweep as it was last. Without it the bars stay as they are.
    pub fn end(mut self) -> pb::Sweep {
        if let View::Bars(bars) = &mut self.view {
            // A terminal that is gone needs no clearing.
            let _ = bars.all.clear();
            bars.are_shown = false;
        }
        self.meter.latest().clone()
    }
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::new();
        let bar = |template: &str, prefix: &'static str| {
            let style = ProgressStyle::with_template(template).expect("a template of this file");
            let bar = ProgressBar::new(1).with_style(style.progress_chars("━╸─")).with_prefix(prefix);
            all.add(bar)
        };
        let trained = bar("{prefix:7} {bar:20} {msg}", "trained");
        let points = bar("{prefix:7} {bar:20} {msg}", "points");
        let doing = bar("{prefix:7} {msg}", "");
        Self { all, trained, points, doing, are_shown: true }
    }

    fn show(&self, meter: &mut Meter, now: Instant) {
        let reading = meter.reading(now);
        let sweep = meter.latest();
        self.trained.set_length(sweep.train_jobs.max(1));
        self.trained.set_position(if sweep.train_jobs == 0 { 1 } else { sweep.train_done });
        let failed = if sweep.failed > 0 { format!(", {} jobs failed", grouped(sweep.failed)) } else { String::new() };
        self.trained.set_message(format!("{}{failed}", meter.trained()));
        self.points.set_length(sweep.points_expected.max(1));
        self.points.set_position(sweep.points);
        self.points.set_message(format!("{}, {}", meter.points(), Meter::rates(reading)));
        let doing: Vec<String> =
            meter.held_back().into_iter().chain(meter.activity.iter().map(|a| a.text.clone())).collect();
        let doing = doing.join("; ");
        self.doing.set_message(cut(&doing, SHOWN_DOING));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(train_done: u64, points: u64, fractions: &[f64]) -> pb::WatchResponse {
        let sweep =
            pb::Sweep { train_jobs: 4, train_done, points, points_expected: 1000, failed: 1, ..Default::default() };
        let activity = fractions.iter().map(|&fraction| pb::Activity { fraction, ..Default::default() }).collect();
        pb::WatchResponse { sweep: Some(sweep), activity }
    }

    #[test]
    fn time_left_weighs_training_and_probing_by_their_images() {
        let began = Instant::now();
        let mut meter = Meter::new(Work { training_images: 100, probe_images: 100 });
        meter.update(began, state(0, 0, &[]));
        assert_eq!(meter.reading(began).left, None);
        // Half of the training, which is 3/4 of the work: 3/8 in 30 s, so 50 s remain.
        meter.update(began + Duration::from_secs(30), state(1, 0, &[0.5, 0.5]));
        let left = meter.reading(began + Duration::from_secs(30)).left.unwrap();
        assert!((left.as_secs_f64() - 50.0).abs() < 1e-6, "{left:?}");
        meter.update(began + Duration::from_mins(1), state(4, 1000, &[]));
        assert_eq!(meter.reading(began + Duration::from_mins(1)).left, Some(Duration::ZERO));
    }

    #[test]
    fn the_rate_is_of_late() {
        let began = Instant::now();
        let at = |s| began + Duration::from_secs(s);
        let mut meter = Meter::new(Work::default());
        for (second, points) in [(0, 0), (10, 10), (20, 210), (30, 610)] {
            meter.update(at(second), state(0, points, &[]));
        }
        assert!((meter.reading(at(30)).points_per_second - 40.0).abs() < 1e-9);
        assert!((meter.reading(at(130)).points_per_second).abs() < 1e-9);
    }

    #[test]
    fn a_line_says_that_the_sweep_is_held_back_and_guesses_no_time() {
        let began = Instant::now();
        let mut meter = Meter::new(Work::default());
        meter.update(began, state(1, 0, &[]));
        let mut paused = state(1, 500, &[]);
        let sweep = paused.sweep.as_mut().unwrap();
        (sweep.state, sweep.name, sweep.failed) = ("paused".to_owned(), "depth".to_owned(), 0);
        meter.update(began + Duration::from_secs(4), paused);
        let line = meter.line(began + Duration::from_secs(4));
        let expected =
            "paused (`transect resume depth` lets it go on), trained 1 of 4, points 500 of 1,000, 125 points/s";
        assert_eq!(line, expected);
    }

    #[test]
    fn a_line_says_what_is_done_and_what_failed() {
        let began = Instant::now();
        let mut meter = Meter::new(Work::default());
        meter.update(began, state(1, 0, &[]));
        meter.update(began + Duration::from_secs(4), state(1, 500, &[]));
        let line = meter.line(began + Duration::from_secs(4));
        assert_eq!(line, "trained 1 of 4, points 500 of 1,000, 1 failed, 125 points/s, about 4.0 s left");
    }
}
