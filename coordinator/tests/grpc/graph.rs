//! Runs that start from others and lines that end in others, over the wire.

use std::collections::BTreeSet;

use transect_common::line::LineSpec;
use transect_common::pb;
use transect_common::pb::report_request::Row;
use transect_common::run::RunSpec;

use crate::harness::{SMALL, Server, Worker, attempt};

/// Each of two runs starts from a run of its own, and has a line to the end of the other.
fn chain() -> String {
    SMALL
        .replace("[train]", "[init]\nadversarial = 3\n[train]")
        .replace("kind = \"line\"", "kind = \"line\"\nfrom = \"final\"\nto = [{ seed = 0 }, { seed = 1 }]")
}

#[tokio::test]
async fn leases_bring_what_jobs_need_of_other_runs_and_results_bring_measures() {
    let server = Server::start().await;
    let sweep = server.submit(&chain()).await;
    assert_eq!((sweep.runs, sweep.jobs), (4, 6));
    let mut worker = Worker::register(server.channel.clone()).await;
    let mut done = BTreeSet::new();
    loop {
        let lease = worker.lease(100).await;
        if lease.jobs.is_empty() {
            break;
        }
        let mut needs = BTreeSet::new();
        for job in &lease.jobs {
            if job.line_spec.is_empty() {
                let run = RunSpec::from_canonical(&lease.run_spec).unwrap();
                needs.extend(run.needs().into_iter().map(|(run, tag)| (run.to_string(), tag.to_string())));
                continue;
            }
            let line = LineSpec::from_canonical(&job.line_spec).unwrap();
            needs.extend(line.needs().map(|(run, tag)| (run.to_string(), tag.to_string())));
            let measure = pb::MeasureRow { name: "distance".into(), split: String::new(), value: 2.5 };
            worker.report(vec![(attempt(job), Row::Measure(measure))]).await;
        }
        assert!(needs.iter().all(|(run, _)| done.contains(run)), "what is needed is trained");
        let given = lease.elsewhere.iter().map(|file| (file.run.clone(), file.tag.clone()));
        assert_eq!(given.collect::<BTreeSet<_>>(), needs);
        for file in &lease.elsewhere {
            let request = pb::StatRequest { artifact: file.artifact.clone(), keep: false };
            assert!(server.artifacts().stat(request).await.unwrap().into_inner().exists);
        }
        worker.finish(&lease).await;
        done.insert(lease.run);
    }
    assert_eq!(server.sweep(&sweep.sweep_id).await.state, "done");

    let request = pb::ResultsRequest { sweep: sweep.sweep_id };
    let mut stream = server.sweeps().results(request).await.unwrap().into_inner();
    let (mut points, mut measures) = (vec![], vec![]);
    while let Some(response) = stream.message().await.unwrap() {
        points.extend(response.points);
        measures.extend(response.measures);
    }
    assert_eq!((points.len(), measures.len()), (6, 2));
    for measure in measures {
        assert_eq!((measure.name.as_str(), measure.split.as_str(), measure.value), ("distance", "", 2.5));
        assert!(measure.elsewhere.is_some_and(|end| end.starts_with("run:")) && measure.normalize == "none");
    }
    assert!(points.iter().all(|point| point.elsewhere.is_some() && !point.align));
}
