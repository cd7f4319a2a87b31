//! The Transect coordinator: a stateless gRPC front of one database and one artifact store.

pub mod store;
