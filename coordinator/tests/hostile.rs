//! Requests that nobody with good intentions sends. Each is answered with an error or its connection is ended; the
//! process stays up, answers others meanwhile, and its memory stays bounded.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use prost_types::field_descriptor_proto::Type;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use transect_common::pb;
use transect_common::pb::artifact_service_client::ArtifactServiceClient;
use transect_common::pb::sweep_service_client::SweepServiceClient;
use transect_common::pb::worker_service_client::WorkerServiceClient;
use transect_coordinator::{Config, home, start};

/// Resident memory that it must never have reached, in KiB.
const MOST_MEMORY: u64 = 400 << 10;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_mins(1);

struct Process {
    child: Child,
    address: SocketAddr,
    home: tempfile::TempDir,
}

impl Process {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_transect-coordinator"));
        command.args(["--listen", "127.0.0.1:0", "--http", "off", "--home"]).arg(folder.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // From here on it is ended with this, also when the test fails.
        let mut process = Self { child, address: "127.0.0.1:0".parse().unwrap(), home: folder };
        for _ in 0..400 {
            let at = process.home.path().to_owned();
            if let Some(address) = tokio::task::spawn_blocking(move || home::running(&at)).await.unwrap() {
                process.address = address;
                return process;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it never answered");
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    /// It answers somebody else, and never grew too large.
    async fn is_well(&mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "the coordinator died");
        let mut sweeps = SweepServiceClient::new(self.channel().await);
        tokio::time::timeout(PATIENCE, sweeps.list(pb::ListRequest::default())).await.unwrap().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak < MOST_MEMORY, "{peak} KiB");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Messages as bytes, whatever they mean.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }
    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(into, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = bytes::Buf::remaining(from);
        Ok(Some(bytes::Buf::copy_to_bytes(from, length).to_vec()))
    }
}

async fn call(channel: &Channel, path: &str, message: Vec<u8>) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = PathAndQuery::try_from(path).unwrap();
    let call = client.unary(Request::new(message), path.clone(), Raw);
    let answer = tokio::time::timeout(PATIENCE, call).await;
    answer.unwrap_or_else(|_| panic!("{path} did not answer")).map(|_: tonic::Response<Vec<u8>>| ())
}

/// A method and the number of the first text field of its request.
struct Method {
    path: String,
    text: Option<u32>,
}

fn methods() -> Vec<Method> {
    let all = FileDescriptorSet::decode(transect_common::DESCRIPTORS).unwrap();
    let ours = || all.file.iter().filter(|file| file.package() == "transect.v1");
    let text = |message: &str| {
        let name = message.rsplit('.').next().unwrap().to_owned();
        let found = ours().flat_map(|file| &file.message_type).find(|message| message.name() == name).unwrap();
        let field = found.field.iter().find(|field| field.r#type() == Type::String);
        field.map(|field| field.number() as u32)
    };
    let services = ours().flat_map(|file| &file.service);
    let methods = services.flat_map(|service| {
        service.method.iter().map(|method| Method {
            path: format!("/transect.v1.{}/{}", service.name(), method.name()),
            text: text(method.input_type()),
        })
    });
    methods.collect()
}

fn with_text(field: u32, text: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    prost::encoding::encode_key(field, prost::encoding::WireType::LengthDelimited, &mut message);
    prost::encoding::encode_varint(text.len() as u64, &mut message);
    message.extend(text);
    message
}

#[tokio::test]
async fn malformed_messages_are_refused_by_every_method() {
    let mut process = Process::start().await;
    let channel = process.channel().await;
    let noise: Vec<u8> = blake3::hash(b"noise").as_bytes().repeat(64);
    let malformed: [(&str, Vec<u8>); 6] = [
        ("a field number of 0", vec![0x00, 0x01]),
        ("a number that never ends", vec![0xff; 11]),
        ("a length beyond the end", vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00]),
        ("an end of a group that never began", vec![0x0c]),
        ("groups within groups", vec![0x0b; 100_000]),
        ("noise", noise),
    ];
    for method in methods() {
        for (what, message) in &malformed {
            let answer = call(&channel, &method.path, message.clone()).await;
            assert!(answer.is_err(), "{} took {what}", method.path);
        }
    }
    process.is_well().await;
}

#[tokio::test]
async fn odd_texts_are_never_a_fault_of_ours() {
    let mut process = Process::start().await;
    let channel = process.channel().await;
    let odd: [(&str, Vec<u8>); 8] = [
        ("nothing", vec![]),
        ("a NUL", b"a\0b".to_vec()),
        ("a path", b"../../../../etc/passwd".to_vec()),
        ("an absolute path", b"/etc/passwd".to_vec()),
        ("64 NULs", vec![0; 64]),
        ("SQL", b"'; DROP TABLE jobs; --".to_vec()),
        ("control codes", b"\x1b[2J\x07\r\n".to_vec()),
        ("7 MiB", vec![b'x'; 7 << 20]),
    ];
    for Method { path, text } in methods() {
        let Some(field) = text else { continue };
        for (what, text) in &odd {
            // Listing has no name that could be wrong, and whatever a token was called is told in its own words.
            if let Err(status) = call(&channel, &path, with_text(field, text)).await {
                let is_fault = matches!(status.code(), Code::Internal | Code::Unknown | Code::DataLoss);
                assert!(!is_fault, "{path} with {what}: {status}");
                assert!(status.message().len() < 4096, "{path} with {what}: {} bytes", status.message().len());
            }
        }
        let invalid = call(&channel, &path, with_text(field, b"\xff\xfe\xc3\x28")).await;
        assert!(invalid.is_err(), "{path} took bytes that are not UTF-8");
    }
    let too_large = call(&channel, "/transect.v1.SweepService/Get", with_text(1, &vec![b'x'; 9 << 20])).await;
    assert_eq!(too_large.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(call(&channel, "/transect.v1.SweepService/Drop", vec![]).await.unwrap_err().code(), Code::Unimplemented);
    assert_eq!(call(&channel, "/../../etc/passwd", vec![]).await.unwrap_err().code(), Code::Unimplemented);
    process.is_well().await;
}

#[tokio::test]
async fn sweep_files_that_would_fill_a_machine_are_refused() {
    let mut process = Process::start().await;
    let mut sweeps = SweepServiceClient::new(process.channel().await);
    let small = |axes: &str, count: &str| {
        format!(
            "name = \"x\"\n[data]\nset = \"mnist\"\n[model]\narchitecture = \"lenet5\"\n[train]\nepochs = 1\n{axes}\n\
             optimizer = {{ name = \"sgd\", lr = 0.1 }}\n[[probe]]\nkind = \"line\"\nlayers = [\"all\"]\n\
             alphas = {{ start = 0.0, stop = 1.0, count = {count} }}\n"
        )
    };
    let files = [
        format!("a = {}", "[".repeat(200_000)),
        format!("a = {}1{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("a = {}", "{ b = ".repeat(100_000)),
        format!("{} = 1", vec!["a"; 200_000].join(".")),
        format!("[{}]", vec!["a"; 200_000].join(".")),
        "[[a]]\n".repeat(150_000),
        (0..70_000).map(|i| format!("k{i} = {i}")).collect::<Vec<_>>().join("\n"),
        "name = \"x".to_owned(),
        "\0".repeat(1000),
        "x".repeat((1 << 20) + 1),
        small("", "4000000000"),
        small("seed = { start = 0, stop = 4000000000 }", "3"),
        small(&format!("seed = [{}]", (0..60_000).map(|i| i.to_string()).collect::<Vec<_>>().join(",")), "1000000"),
        small("seed = -1", "3"),
        small("seed = 1e400", "3"),
        small("", "3").replace("\"x\"", "\"../../x\\u0000\""),
        small("", "3").replace("\"x\"", &format!("\"{}\"", "x".repeat(900_000))),
    ];
    for file in files {
        let head: String = file.chars().take(60).collect();
        let request = pb::SubmitRequest { sweep_file: file, ..Default::default() };
        let answer = tokio::time::timeout(PATIENCE, sweeps.submit(request)).await;
        let status = answer.unwrap_or_else(|_| panic!("no answer to {head}")).expect_err(&head);
        let is_theirs = matches!(status.code(), Code::InvalidArgument | Code::ResourceExhausted | Code::OutOfRange);
        assert!(is_theirs, "{head}: {status}");
    }
    process.is_well().await;
}

#[tokio::test]
async fn workers_that_say_too_much_are_refused() {
    let mut process = Process::start().await;
    let channel = process.channel().await;
    let mut workers = WorkerServiceClient::new(channel.clone());
    let info = pb::WorkerInfo { device: "cpu".into(), ..Default::default() };
    let worker_id = workers.register(pb::RegisterRequest { info: Some(info) }).await.unwrap().into_inner().worker_id;

    let row = |message: String| pb::ReportRequest {
        worker_id: worker_id.clone(),
        job: Some(pb::JobAttempt { job_id: u64::MAX, attempt: u32::MAX }),
        row: Some(pb::report_request::Row::Failed(pb::FailedRow { class: "machine".into(), message })),
    };
    let many = tokio_stream::iter((0..1_000_000).map({
        let row = row(String::new());
        move |_| row.clone()
    }));
    let refused = tokio::time::timeout(PATIENCE, workers.report(many)).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let large: Vec<_> = (0..20).map(|_| row("x".repeat(1 << 20))).collect();
    let refused = workers.report(tokio_stream::iter(large)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let stored = workers.report(tokio_stream::iter([row("\0".into())])).await.unwrap().into_inner();
    assert_eq!((stored.stored, stored.refused.len()), (0, 1));

    for lease in [
        pb::LeaseRequest { max_jobs: u32::MAX, ..Default::default() },
        pb::LeaseRequest { wait_seconds: u32::MAX, ..Default::default() },
        pb::LeaseRequest { cached_runs: vec!["../..".into(); 100_000], ..Default::default() },
    ] {
        let lease = pb::LeaseRequest { worker_id: worker_id.clone(), ..lease };
        assert_eq!(workers.lease(lease).await.unwrap_err().code(), Code::InvalidArgument);
    }
    for fraction in [f64::NAN, f64::INFINITY, -1.0] {
        let job = Some(pb::JobAttempt { job_id: u64::MAX, attempt: 0 });
        let progress = pb::JobProgress { job, fraction, text: "\0".repeat(1000) };
        let heartbeat =
            pb::HeartbeatRequest { worker_id: worker_id.clone(), jobs: vec![progress; 1000], draining: false };
        let answer = workers.heartbeat(heartbeat).await.unwrap().into_inner();
        assert!(!answer.stop.is_empty(), "none of them is this worker's");
    }

    let mut artifacts = ArtifactServiceClient::new(channel);
    for name in ["../../transect.db", "..", "/etc/passwd", "", "A", &"0".repeat(63), &"g".repeat(64), "a/../../b", "\0"]
    {
        let put = pb::PutRequest { artifact: name.to_owned(), chunk: vec![1; 10], offset: 0, ..Default::default() };
        let refused = artifacts.put(tokio_stream::iter([put])).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name}: {refused}");
        let get = pb::GetArtifactRequest { artifact: name.to_owned(), ..Default::default() };
        assert_eq!(artifacts.get(get).await.unwrap_err().code(), Code::InvalidArgument, "{name}");
        let stat = pb::StatRequest { artifact: name.to_owned(), ..Default::default() };
        assert_eq!(artifacts.stat(stat).await.unwrap_err().code(), Code::InvalidArgument, "{name}");
    }
    let large = pb::PutRequest { artifact: "0".repeat(64), chunk: vec![1; 5 << 20], offset: 0, ..Default::default() };
    assert_eq!(artifacts.put(tokio_stream::iter([large])).await.unwrap_err().code(), Code::InvalidArgument);
    let other = pb::PutRequest { artifact: "0".repeat(64), chunk: vec![1; 10], offset: 0, ..Default::default() };
    assert_eq!(artifacts.put(tokio_stream::iter([other])).await.unwrap_err().code(), Code::DataLoss);
    process.is_well().await;
}

/// Sends bytes and waits for the other side to end the connection; true when it did.
fn is_ended(address: SocketAddr, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // It may be ended while it is still being written to.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_speak_something_else_or_nothing_are_ended() {
    let mut process = Process::start().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let noise = blake3::hash(b"noise").as_bytes().repeat(1000);
    let spoken: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"POST /transect.v1.SweepService/List HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(),
        noise.clone(),
        vec![0; 100_000],
        vec![],
        preface[..10].to_vec(),
        [preface.clone(), noise].concat(),
        [preface.clone(), vec![0xff; 1000]].concat(),
        // A frame of 16 MiB that is announced, and headers on stream 0.
        [preface.clone(), b"\xff\xff\xff\x00\x00\x00\x00\x00\x01".to_vec()].concat(),
        [preface, b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x01\x04\x00\x00\x00\x00\x82".to_vec()].concat(),
    ];
    let address = process.address;
    let tries: Vec<_> =
        spoken.into_iter().map(|bytes| tokio::task::spawn_blocking(move || is_ended(address, &bytes))).collect();
    process.is_well().await;
    for (place, ended) in tries.into_iter().enumerate() {
        assert!(ended.await.unwrap(), "connection {place} stayed open");
    }
    process.is_well().await;
}

#[tokio::test]
async fn requests_that_stall_hold_up_nobody_and_are_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path());
    (config.listen, config.http) = ("127.0.0.1:0".parse().unwrap(), None);
    config.security.limits.silence = Duration::from_secs(1);
    let coordinator = start(config).await.unwrap();
    let channel = Channel::from_shared(format!("http://{}", coordinator.address())).unwrap().connect().await.unwrap();
    let stalled: Vec<_> = (0..50)
        .map(|_| {
            let mut workers = WorkerServiceClient::new(channel.clone());
            tokio::spawn(async move { workers.report(tokio_stream::pending()).await })
        })
        .collect();
    let mut sweeps = SweepServiceClient::new(channel.clone());
    sweeps.list(pb::ListRequest::default()).await.unwrap();
    for stalled in stalled {
        let status = tokio::time::timeout(Duration::from_secs(10), stalled).await.unwrap().unwrap().unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    }
    coordinator.shutdown().await;
}

#[tokio::test]
async fn there_are_only_so_many_connections_and_a_free_place_is_taken_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path());
    (config.listen, config.http) = ("127.0.0.1:0".parse().unwrap(), None);
    config.security.limits.connections = 3;
    let coordinator = start(config).await.unwrap();
    let endpoint = Channel::from_shared(format!("http://{}", coordinator.address())).unwrap();
    let ask = |channel: &Channel| {
        let mut sweeps = SweepServiceClient::new(channel.clone());
        async move { sweeps.list(pb::ListRequest::default()).await }
    };
    let mut open = Vec::new();
    for _ in 0..3 {
        let channel = endpoint.connect().await.unwrap();
        ask(&channel).await.unwrap();
        open.push(channel);
    }
    let fourth = async { ask(&endpoint.connect().await.map_err(|e| Status::unavailable(e.to_string()))?).await };
    assert!(fourth.await.is_err());
    open.pop();
    for _ in 0..100 {
        if let Ok(channel) = endpoint.connect().await
            && ask(&channel).await.is_ok()
        {
            coordinator.shutdown().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the place never became free");
}
