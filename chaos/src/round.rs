//! One round: a sweep on a cluster of its own, what goes wrong meanwhile, and what is there afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::sync::watch;

use crate::client::{Client, Status};
use crate::cluster::{Cluster, Given};
use crate::files;
use crate::phases::{Eye, Phase};
use crate::plan::{Kind, Plan};
use crate::tables::{self, Effort, Tables};
use crate::wire::Mode;

/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(20);
/// Once nothing goes wrong any more, everything is done within this. Longer than the back-off of jobs whose machine failed.
const PATIENCE: Duration = Duration::from_secs(150);
/// What follows a sweep hears of its end within this.
const NEWS: Duration = Duration::from_secs(30);
/// Workers that were set aside are given work again after so long without faults.
const RELEASE: Duration = Duration::from_secs(5);

/// What a round left behind.
pub struct Outcome {
    /// Rows of all tables.
    pub tables: Tables,
    /// Names of all artifacts, once nothing is there that no row names.
    pub artifacts: BTreeSet<String>,
    /// What it took.
    pub effort: Effort,
    /// Faults that were done, by kind.
    pub faults: BTreeMap<Kind, u32>,
    /// Processes that ended by themselves.
    pub remarks: Vec<String>,
}

/// What a round does to its processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// What its plan says.
    Plan,
    /// A worker is killed at each phase of its work.
    Phases,
}

/// Plays a plan in an empty folder. An error says what was not as it should be, with what is needed to see why.
pub async fn play(plan: &Plan, script: Script, given: &Given, folder: &Path) -> anyhow::Result<Outcome> {
    let mut cluster = Cluster::start(plan, given, folder).await?;
    let client =
        Client { program: given.programs.join("transect"), addresses: cluster.addresses(), folder: folder.to_owned() };
    let (sender, status) = watch::channel(Status::default());
    let asks = {
        let (client, sweep) = (client.clone(), given.sweep.clone());
        tokio::spawn(async move {
            client.submit(&sweep).await;
            loop {
                if let Ok(status) = client.status().await {
                    let _ = sender.send(status);
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        })
    };
    let follows = {
        let client = client.clone();
        tokio::spawn(async move { client.watch().await })
    };
    let mut round = Round { plan, cluster, client, status, faults: BTreeMap::new(), remarks: vec![] };
    let done = match script {
        Script::Plan => round.planned().await,
        Script::Phases => round.phases().await,
    };
    asks.abort();
    if let Err(error) = done {
        follows.abort();
        let diagnosis = round.diagnosis().await;
        return Err(error.context(diagnosis));
    }
    let news = tokio::time::timeout(NEWS, follows).await;
    ensure!(news.is_ok(), "`transect watch` had not heard of the sweep's end {NEWS:?} after it");
    cluster = round.cluster;
    let ended = finish(&mut cluster, &round.client).await;
    let (tables, artifacts, effort) = ended.with_context(|| cluster.last_words())?;
    Ok(Outcome { tables, artifacts, effort, faults: round.faults, remarks: round.remarks })
}

struct Round<'a> {
    plan: &'a Plan,
    cluster: Cluster,
    client: Client,
    status: watch::Receiver<Status>,
    faults: BTreeMap<Kind, u32>,
    remarks: Vec<String>,
}

impl Round<'_> {
    fn is_done(&self) -> bool {
        self.status.borrow().state == "done"
    }

    /// Faults as planned, until the sweep is done or they are over; then nothing goes wrong until it is done.
    async fn planned(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut coming = self.plan.events.iter().peekable();
        let mut under_way: Vec<(Instant, Kind, usize)> = vec![];
        while !self.is_done() && (coming.peek().is_some() || !under_way.is_empty()) {
            let now = Instant::now();
            self.end_faults(&mut under_way, now)?;
            while let Some(event) = coming.next_if(|event| began + Duration::from_millis(event.at) <= now) {
                let until = now + Duration::from_millis(event.lasts);
                if self.cluster.begin(event.kind, event.target, until)? {
                    *self.faults.entry(event.kind).or_default() += 1;
                    under_way.push((until, event.kind, event.target));
                }
            }
            self.remarks.extend(self.cluster.tend(now)?);
            tokio::time::sleep(TICK).await;
        }
        for (until, ..) in &mut under_way {
            *until = began;
        }
        self.end_faults(&mut under_way, Instant::now())?;
        self.calm().await
    }

    /// The only worker is killed at each phase, and started again.
    async fn phases(&mut self) -> anyhow::Result<()> {
        let mut eye = Eye::new(self.cluster.place(), self.cluster.staging());
        for phase in Phase::ALL {
            if phase == Phase::Uploading {
                self.cluster.wires.iter().for_each(|wire| wire.set(Mode::Slow(Duration::from_millis(60))));
            }
            eye.wait_for(phase).await?;
            if phase == Phase::Reporting {
                self.cluster.wires.iter().for_each(|wire| wire.set(Mode::HoldsAnswers));
            }
            tokio::time::sleep(phase.wait()).await;
            let worker = &mut self.cluster.workers[0];
            if let Phase::Leaving(milliseconds) = phase {
                worker.stop(Instant::now());
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            }
            worker.kill(Instant::now());
            self.cluster.wires.iter().for_each(|wire| wire.set(Mode::Passes));
            *self.faults.entry(Kind::WorkerKilled).or_default() += 1;
            self.remarks.extend(self.cluster.tend(Instant::now())?);
            ensure!(!self.is_done(), "the sweep was done before a worker was killed in the phase {phase:?}");
        }
        self.calm().await
    }

    fn end_faults(&mut self, under_way: &mut Vec<(Instant, Kind, usize)>, now: Instant) -> anyhow::Result<()> {
        for (_, kind, target) in under_way.extract_if(.., |(until, ..)| *until <= now) {
            self.cluster.finish(kind, target, now)?;
        }
        Ok(())
    }

    async fn calm(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut is_released = false;
        while !self.is_done() {
            let waited = began.elapsed();
            ensure!(waited < PATIENCE, "the sweep is not done {PATIENCE:?} after the last fault");
            if waited > RELEASE && !is_released && !self.plan.events.is_empty() {
                self.client.release_all().await;
                is_released = true;
            }
            let status = self.status.borrow().clone();
            if status.failed > 0 {
                bail!("{} jobs failed", status.failed);
            }
            self.remarks.extend(self.cluster.tend(Instant::now())?);
            tokio::time::sleep(TICK).await;
        }
        // What is still down comes back before it is ended in order.
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until && self.cluster.coordinators.iter().any(|it| !it.is_up()) {
            self.remarks.extend(self.cluster.tend(Instant::now())?);
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }

    /// All that helps to see why it is not done.
    async fn diagnosis(&mut self) -> String {
        let mut text = format!("{}\n{}", self.status.borrow().line, self.client.diagnosis().await);
        for job in 1..=60 {
            let said = self.client.explain(job).await;
            if !said.contains(" is done") && said.starts_with("job") {
                text.push_str(&said);
            }
        }
        text.push_str(&self.remarks.join("\n"));
        text.push_str(&self.cluster.last_words());
        text
    }
}

/// Collects garbage, ends everything in order, and reads what is there.
async fn finish(cluster: &mut Cluster, client: &Client) -> anyhow::Result<(Tables, BTreeSet<String>, Effort)> {
    // The last rows of a worker may be on their way; nothing collects what they name.
    client.run(&["gc", "--grace", "0s"]).await?;
    cluster.end().await?;
    let artifacts = files::artifacts(&cluster.artifacts())?;
    let (tables, effort) = tables::read(&cluster.place()).await?;
    Ok((tables, artifacts, effort))
}

impl Outcome {
    /// How this differs from what an undisturbed round left.
    pub fn differences(&self, undisturbed: &Self) -> Vec<String> {
        let mut told = tables::differences(&undisturbed.tables, &self.tables);
        told.extend(
            undisturbed.artifacts.difference(&self.artifacts).map(|name| format!("artifact {name} is missing")),
        );
        told.extend(
            self.artifacts
                .difference(&undisturbed.artifacts)
                .map(|name| format!("artifact {name} is there, and no row of an undisturbed round names it")),
        );
        if self.effort.run > 0 {
            told.push(format!("{} attempts failed as if the run were to blame", self.effort.run));
        }
        told
    }
}
