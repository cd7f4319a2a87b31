//! A generic client needs none of our proto files: it asks for them.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::FileDescriptorProto;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

use crate::harness::Server;

const SERVICES: [&str; 3] = ["transect.v1.ArtifactService", "transect.v1.SweepService", "transect.v1.WorkerService"];

macro_rules! asks {
    ($name:ident, $version:ident) => {
        /// Asks one thing and returns the answer.
        async fn $name(
            server: &Server,
            ask: $version::server_reflection_request::MessageRequest,
        ) -> $version::server_reflection_response::MessageResponse {
            let mut client = $version::server_reflection_client::ServerReflectionClient::new(server.channel.clone());
            let request = $version::ServerReflectionRequest { host: String::new(), message_request: Some(ask) };
            let mut stream = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
            stream.message().await.unwrap().unwrap().message_response.unwrap()
        }
    };
}

asks!(ask_v1, v1);
asks!(ask_v1alpha, v1alpha);

#[tokio::test]
async fn reflection_v1_lists_the_services_and_describes_them() {
    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;
    let server = Server::start().await;
    let MessageResponse::ListServicesResponse(list) =
        ask_v1(&server, MessageRequest::ListServices(String::new())).await
    else {
        panic!("not a list");
    };
    let names: BTreeSet<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(SERVICES.iter().all(|name| names.contains(name)), "{names:?}");
    assert!(names.contains("grpc.health.v1.Health"), "{names:?}");

    for symbol in ["transect.v1.SweepService", "transect.v1.WatchResponse", "google.rpc.BadRequest"] {
        let MessageResponse::FileDescriptorResponse(files) =
            ask_v1(&server, MessageRequest::FileContainingSymbol(symbol.to_owned())).await
        else {
            panic!("{symbol} is not described");
        };
        let file = FileDescriptorProto::decode(files.file_descriptor_proto[0].as_slice()).unwrap();
        assert!(symbol.starts_with(file.package()), "{symbol} is said to be in {}", file.name());
    }
}

#[tokio::test]
async fn reflection_v1alpha_lists_the_services_too() {
    use v1alpha::server_reflection_request::MessageRequest;
    use v1alpha::server_reflection_response::MessageResponse;
    let server = Server::start().await;
    let MessageResponse::ListServicesResponse(list) =
        ask_v1alpha(&server, MessageRequest::ListServices(String::new())).await
    else {
        panic!("not a list");
    };
    let names: BTreeSet<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(SERVICES.iter().all(|name| names.contains(name)), "{names:?}");
}

#[tokio::test]
async fn health_says_serving_for_all_and_for_each_service_and_its_streams_end_when_it_stops() {
    let server = Server::start().await;
    let mut client = HealthClient::new(server.channel.clone());
    for service in SERVICES.iter().chain(&[""]) {
        let request = HealthCheckRequest { service: (*service).to_owned() };
        let answer = client.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = client.check(HealthCheckRequest { service: "other".into() }).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);

    let mut stream = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    server.coordinator.shutdown().await;
    assert_eq!(stream.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(stream.message().await.unwrap(), None);
}
