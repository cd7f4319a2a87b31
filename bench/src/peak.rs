//! What the machine can do at most.

use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

/// Measures how many multiplications and additions a second a product of large matrices reaches.
#[derive(Debug, Args)]
pub struct Peak {
    /// Threads of libtorch
    #[arg(long, default_value_t = 1)]
    threads: u32,
    /// Rows and columns of both matrices
    #[arg(long, default_value_t = 2048)]
    size: u32,
}

impl Peak {
    /// The best of several products.
    pub fn measure(&self) -> Value {
        tch::set_num_threads(self.threads as i32);
        let size = i64::from(self.size);
        let [a, b] = [0, 1].map(|_| Tensor::ones([size, size], (Kind::Float, Device::Cpu)));
        let operations = 2.0 * f64::from(self.size).powi(3);
        let once = || {
            let began = Instant::now();
            let _product = a.matmul(&b);
            operations / began.elapsed().as_secs_f64()
        };
        json!({ "operations_per_second": (0..8).map(|_| once()).fold(0.0, f64::max) })
    }
}
