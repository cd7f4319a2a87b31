//! Messages over a pipe: each protobuf message with its length before it as a varint.
//!
//! Invariants: an end of input between two messages is a proper end, one inside a message is an error; a length over
//! [`LIMIT`] is refused before anything is allocated for it. The executor reads and writes with threads, the daemon
//! with tokio; both use the same framing.

use std::io::{self, Read, Write};

use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Largest message in bytes. A group of a thousand lines with a thousand alphas each stays far below.
pub const LIMIT: usize = 64 << 20;

/// What can go wrong on a pipe between daemon and executor.
#[derive(Debug, thiserror::Error)]
pub enum PipeError {
    /// The other side went away in the middle of a message.
    #[error("the pipe ended in the middle of a message")]
    Cut,
    /// Not our framing, or a message that nobody should send.
    #[error("a message of {0} bytes was announced, at most {LIMIT} are taken; is something else writing to the pipe?")]
    TooLong(u64),
    /// The length is not a varint of at most 10 bytes.
    #[error("the length before a message is not a varint; is something else writing to the pipe?")]
    Length,
    /// The bytes are not the message that was expected.
    #[error("a message that cannot be read: {0}; are daemon and executor of one version?")]
    Decode(#[from] prost::DecodeError),
    /// The pipe itself failed.
    #[error("the pipe failed: {0}")]
    Io(#[from] io::Error),
}

/// The bytes of `message` with its length before it.
pub fn frame<M: Message>(message: &M) -> Result<Vec<u8>, PipeError> {
    let len = message.encoded_len();
    if len > LIMIT {
        return Err(PipeError::TooLong(len as u64));
    }
    Ok(message.encode_length_delimited_to_vec())
}

/// Writes one message and flushes.
pub fn write<M: Message>(out: &mut impl Write, message: &M) -> Result<(), PipeError> {
    out.write_all(&frame(message)?)?;
    Ok(out.flush()?)
}

/// Reads one message; nothing at a proper end of input.
pub fn read<M: Message + Default>(input: &mut impl Read) -> Result<Option<M>, PipeError> {
    let mut length = Length::default();
    loop {
        let mut byte = [0];
        match input.read(&mut byte) {
            Ok(0) => return length.at_end().map(|()| None),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e.into()),
        }
        if let Some(len) = length.push(byte[0])? {
            let mut bytes = vec![0; len];
            input.read_exact(&mut bytes).map_err(cut)?;
            return Ok(Some(M::decode(bytes.as_slice())?));
        }
    }
}

/// Reads one message; nothing at a proper end of input. Not cancel-safe: a message that is half read is lost.
pub async fn read_async<M: Message + Default>(input: &mut (impl AsyncRead + Unpin)) -> Result<Option<M>, PipeError> {
    let mut length = Length::default();
    loop {
        let mut byte = [0];
        if input.read(&mut byte).await? == 0 {
            return length.at_end().map(|()| None);
        }
        if let Some(len) = length.push(byte[0])? {
            let mut bytes = vec![0; len];
            input.read_exact(&mut bytes).await.map_err(cut)?;
            return Ok(Some(M::decode(bytes.as_slice())?));
        }
    }
}

fn cut(error: io::Error) -> PipeError {
    if error.kind() == io::ErrorKind::UnexpectedEof { PipeError::Cut } else { PipeError::Io(error) }
}

/// A length that arrives byte by byte: seven bits each, lowest first, the eighth set while more follow.
#[derive(Default)]
struct Length {
    value: u64,
    bytes: u32,
}

impl Length {
    /// Takes one byte; the length once it is whole.
    fn push(&mut self, byte: u8) -> Result<Option<usize>, PipeError> {
        if self.bytes == 9 && byte > 1 {
            return Err(PipeError::Length);
        }
        self.value |= u64::from(byte & 0x7f) << (7 * self.bytes);
        self.bytes += 1;
        if byte & 0x80 != 0 {
            return Ok(None);
        }
        if self.value > LIMIT as u64 {
            return Err(PipeError::TooLong(self.value));
        }
        Ok(Some(self.value as usize))
    }

    /// Ends the input: fine before the first byte only.
    fn at_end(&self) -> Result<(), PipeError> {
        if self.bytes == 0 { Ok(()) } else { Err(PipeError::Cut) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use transect_common::executor_pb::{ExecutorEvent, ExecutorRequest, executor_event::Event};
    use transect_common::pb::{JobAttempt, JobProgress, LeasedJob};

    use super::*;

    fn request(run_spec: String, jobs: Vec<(u64, u32)>, data: String) -> ExecutorRequest {
        let jobs = jobs.into_iter().map(|(job_id, attempt)| LeasedJob { job_id, attempt, ..LeasedJob::default() });
        ExecutorRequest { run_spec, jobs: jobs.collect(), data, ..ExecutorRequest::default() }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    /// Both readers on the same bytes must agree; gives the messages until the end, or the error.
    fn read_all(bytes: &[u8]) -> Result<Vec<ExecutorRequest>, String> {
        let (mut sync, mut tokio) = (bytes, bytes);
        let mut messages = Vec::new();
        loop {
            let by_thread = read::<ExecutorRequest>(&mut sync).map_err(|e| e.to_string());
            let by_task = runtime().block_on(read_async::<ExecutorRequest>(&mut tokio)).map_err(|e| e.to_string());
            assert_eq!(by_thread, by_task);
            match by_thread? {
                Some(message) => messages.push(message),
                None => return Ok(messages),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn messages_come_back_in_order(
            all in prop::collection::vec((".{0,300}", prop::collection::vec(any::<(u64, u32)>(), 0..5), ".{0,5}"), 0..6)
        ) {
            let all: Vec<_> = all.into_iter().map(|(run, jobs, data)| request(run, jobs, data)).collect();
            let mut bytes = Vec::new();
            for message in &all {
                write(&mut bytes, message).unwrap();
            }
            prop_assert_eq!(read_all(&bytes).unwrap(), all);
        }

        #[test]
        fn a_pipe_cut_inside_a_message_is_an_error(run in ".{1,300}", share in 0.0..1.0f64) {
            let bytes = frame(&request(run, vec![(7, 1)], String::new())).unwrap();
            let cut = 1 + ((bytes.len() - 1) as f64 * share) as usize;
            prop_assume!(cut < bytes.len());
            let error = read_all(&bytes[..cut]).unwrap_err();
            prop_assert!(error.contains("in the middle of a message"), "{}", error);
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read_all(&bytes);
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_it_is_allocated() {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(u64::MAX, &mut bytes);
        assert!(read_all(&bytes).unwrap_err().contains("18446744073709551615 bytes"));
        assert!(read_all(&[0xff; 11]).unwrap_err().contains("not a varint"));
        let long = request("x".repeat(LIMIT), Vec::new(), String::new());
        assert!(matches!(frame(&long), Err(PipeError::TooLong(_))));
    }

    #[test]
    fn text_printed_into_the_pipe_is_recognised_as_such() {
        // "[W" reads as a message of 0x5b bytes: longer than what follows, or not a message.
        let error = read_all(b"[W some warning\n").unwrap_err();
        assert!(error.contains("in the middle") || error.contains("cannot be read"), "{error}");
    }

    #[test]
    fn events_keep_their_kind() {
        let job = Some(JobAttempt { job_id: 3, attempt: 2 });
        let progress = JobProgress { job, fraction: 0.5, text: "epoch 1 of 2".into() };
        let event = ExecutorEvent { event: Some(Event::Progress(progress)), checkpoint_path: String::new() };
        let mut bytes = Vec::new();
        write(&mut bytes, &event).unwrap();
        assert_eq!(read::<ExecutorEvent>(&mut bytes.as_slice()).unwrap(), Some(event));
    }
}
