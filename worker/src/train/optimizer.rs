//! Optimisers as a few operations on the one vector theta, with `PyTorch`'s formulas; on a CPU as one pass over memory.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};
use transect_common::run;

use super::fused;
use super::state::values;
use crate::host::{has, numbers, numbers_mut};

/// An optimiser and its state.
#[derive(Debug)]
pub struct Optimizer {
    spec: run::Optimizer,
    /// The velocity, from the first step on when there is momentum.
    velocity: Option<Tensor>,
    /// Running means of the gradient and of its square [P], for Adam and `AdamW`.
    moments: Option<[Tensor; 2]>,
    /// RMSprop's running mean of the gradient's square [P].
    square: Option<Tensor>,
    /// Steps taken.
    steps: i32,
}

/// What an optimiser remembers from step to step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Memory {
    /// Steps taken.
    pub(super) steps: i32,
    /// Its vectors, each as long as what it moves, by the names of [`slots`].
    pub(super) vectors: BTreeMap<&'static str, Vec<f32>>,
}

/// The vectors that an optimiser has after `steps` steps.
pub(super) fn slots(spec: &run::Optimizer, steps: i32) -> Vec<&'static str> {
    let with_velocity = |momentum: f64| if momentum != 0.0 && steps > 0 { vec!["velocity"] } else { vec![] };
    match *spec {
        run::Optimizer::Sgd { momentum, .. } | run::Optimizer::Sam { momentum, .. } => with_velocity(momentum),
        run::Optimizer::Adam { .. } | run::Optimizer::Adamw { .. } => vec!["mean", "square"],
        run::Optimizer::Rmsprop { momentum, .. } => [with_velocity(momentum), vec!["square"]].concat(),
    }
}

impl Optimizer {
    fn slot(&self, name: &str) -> Option<&Tensor> {
        match (name, &self.moments) {
            ("velocity", _) => self.velocity.as_ref(),
            ("mean", Some([mean, _])) => Some(mean),
            ("square", Some([_, square])) => Some(square),
            ("square", None) => self.square.as_ref(),
            _ => None,
        }
    }

    /// What it remembers.
    pub(super) fn memory(&self) -> Memory {
        let slots = slots(&self.spec, self.steps).into_iter();
        let vectors = slots.map(|name| (name, values(self.slot(name).expect("slots are what there is")))).collect();
        Memory { steps: self.steps, vectors }
    }

    /// Remembers what another of the same settings did.
    pub(super) fn recall(&mut self, memory: &Memory, device: Device) {
        let vector = |name| memory.vectors.get(name).map(|values| Tensor::from_slice(values).to_device(device));
        self.steps = memory.steps;
        self.velocity = vector("velocity");
        match (vector("mean"), vector("square")) {
            (Some(mean), Some(square)) => self.moments = Some([mean, square]),
            (_, square) => self.square = square,
        }
    }

    /// The optimiser of a run for a theta of `len` values on `device`, before its first step.
    pub fn new(spec: &run::Optimizer, len: usize, device: Device) -> Self {
        let zeros = || Tensor::zeros([len as i64], (Kind::Float, device));
        let has_moments = matches!(spec, run::Optimizer::Adam { .. } | run::Optimizer::Adamw { .. });
        let moments = has_moments.then(|| [zeros(), zeros()]);
        let square = matches!(spec, run::Optimizer::Rmsprop { .. }).then(zeros);
        Self { spec: *spec, velocity: None, moments, square, steps: 0 }
    }

    /// Moves `theta` [P] in place, given the gradient of the loss [P] and the learning rate of this step. The gradient is
    /// the one at theta, but for sharpness-aware minimisation, whose gradient is taken beside it.
    pub fn step(&mut self, theta: &mut Tensor, grad: &Tensor, lr: f64) {
        self.step_by(theta, std::slice::from_ref(grad), lr);
    }

    /// The same with a gradient in pieces of any shape, one after another.
    pub(super) fn step_by(&mut self, theta: &mut Tensor, pieces: &[Tensor], lr: f64) {
        let _guard = tch::no_grad_guard();
        self.steps += 1;
        let mut theta = theta.detach();
        let is_fused = has::<f32>(&theta) && !matches!(self.spec, run::Optimizer::Rmsprop { .. });
        if is_fused {
            let pieces: Vec<Tensor> = pieces.iter().map(Tensor::contiguous).collect();
            self.step_fused(numbers_mut::<f32>(&mut theta), &pieces, lr);
        } else {
            let flat: Vec<Tensor> = pieces.iter().map(|piece| piece.reshape(-1)).collect();
            self.step_in_vectors(&mut theta, &Tensor::cat(&flat, 0), lr);
        }
    }

    /// One pass over memory, in chunks that threads share. Not for RMSprop.
    fn step_fused(&mut self, theta: &mut [f32], pieces: &[Tensor], lr: f64) {
        let pieces: Vec<&[f32]> = pieces.iter().map(numbers::<f32>).collect();
        match self.spec {
            run::Optimizer::Sgd { momentum, weight_decay, .. } | run::Optimizer::Sam { momentum, weight_decay, .. } => {
                let nesterov = matches!(self.spec, run::Optimizer::Sgd { nesterov: true, .. });
                let (lr, momentum, decay) = (lr as f32, momentum as f32, weight_decay as f32);
                let sgd = fused::Sgd { lr, momentum, decay, nesterov };
                if momentum == 0.0 {
                    sgd.step(theta, &pieces);
                } else {
                    let zeros = || Tensor::zeros([theta.len() as i64], (Kind::Float, Device::Cpu));
                    let velocity = self.velocity.get_or_insert_with(zeros);
                    sgd.step_with(theta, &pieces, numbers_mut(velocity));
                }
            }
            run::Optimizer::Adam { beta1, beta2, eps, weight_decay, .. }
            | run::Optimizer::Adamw { beta1, beta2, eps, weight_decay, .. } => {
                let is_adamw = matches!(self.spec, run::Optimizer::Adamw { .. });
                let adam = fused::Adam {
                    rate: (lr / (1.0 - beta1.powi(self.steps))) as f32,
                    mean_share: (1.0 - beta1) as f32,
                    square_share: (1.0 - beta2) as f32,
                    root: (1.0 - beta2.powi(self.steps)).sqrt() as f32,
                    eps: eps as f32,
                    decay: if is_adamw { 0.0 } else { weight_decay as f32 },
                    shrink: if is_adamw { (1.0 - lr * weight_decay) as f32 } else { 1.0 },
                };
                let [mean, square] = self.moments.as_mut().expect("Adam begins with its moments");
                adam.step(theta, &pieces, numbers_mut(mean), numbers_mut(square));
            }
            run::Optimizer::Rmsprop { .. } => unreachable!("RMSprop is computed in vectors"),
        }
    }

    fn step_in_vectors(&mut self, theta: &mut Tensor, grad: &Tensor, lr: f64) {
        match self.spec {
            run::Optimizer::Sgd { momentum, weight_decay, nesterov, .. } => {
                self.sgd(theta, grad, lr, [momentum, weight_decay], nesterov);
            }
            run::Optimizer::Sam { momentum, weight_decay, .. } => {
                self.sgd(theta, grad, lr, [momentum, weight_decay], false);
            }
            run::Optimizer::Adam { beta1, beta2, eps, weight_decay, .. } => {
                self.adam(theta, &decayed(grad, theta, weight_decay), lr, [beta1, beta2], eps);
            }
            run::Optimizer::Adamw { beta1, beta2, eps, weight_decay, .. } => {
                let _ = theta.multiply_scalar_(1.0 - lr * weight_decay);
                self.adam(theta, grad, lr, [beta1, beta2], eps);
            }
            run::Optimizer::Rmsprop { alpha, eps, momentum, weight_decay, .. } => {
                self.rmsprop(theta, &decayed(grad, theta, weight_decay), lr, alpha, eps, momentum);
            }
        }
    }

    /// g += `weight_decay` theta; v = momentum v + g (g at first); theta -= lr (g + momentum v if nesterov, else v).
    fn sgd(&mut self, theta: &mut Tensor, grad: &Tensor, lr: f64, [momentum, decay]: [f64; 2], nesterov: bool) {
        let mut grad = decayed(grad, theta, decay);
        if momentum != 0.0 {
            let momentum = number(momentum, &grad);
            let velocity = match self.velocity.take() {
                Some(velocity) => grad.addcmul(&velocity, &momentum),
                None => grad.copy(),
            };
            grad = if nesterov { grad.addcmul(&velocity, &momentum) } else { velocity.shallow_clone() };
            self.velocity = Some(velocity);
        }
        let _ = theta.addcmul_(&grad, &number(-lr, &grad));
    }

    /// m and v move by 1 - beta towards g and g^2; theta -= lr m' / (sqrt(v') + eps), where m' = m / (1 - beta1^t) and
    /// v' = v / (1 - beta2^t).
    fn adam(&mut self, theta: &mut Tensor, grad: &Tensor, lr: f64, betas: [f64; 2], eps: f64) {
        let [mean, square] = self.moments.as_mut().expect("Adam begins with its moments");
        let corrections = betas.map(|beta| 1.0 - beta.powi(self.steps));
        let _ = mean.lerp_(grad, 1.0 - betas[0]);
        let _ = square.lerp_(&(grad * grad), 1.0 - betas[1]);
        let mut root = square.sqrt();
        let _ = root.divide_scalar_(corrections[1].sqrt());
        root += eps;
        let _ = theta.addcdiv_(&(&*mean * (-lr / corrections[0])), &root);
    }

    /// s moves by 1 - alpha towards g^2; u = g / (sqrt(s) + eps); v = momentum v + u (u at first); theta -= lr v.
    fn rmsprop(&mut self, theta: &mut Tensor, grad: &Tensor, lr: f64, alpha: f64, eps: f64, momentum: f64) {
        let square = self.square.as_mut().expect("RMSprop begins with its mean");
        let _ = square.lerp_(&(grad * grad), 1.0 - alpha);
        let mut moved = grad / (square.sqrt() + eps);
        if momentum != 0.0 {
            if let Some(velocity) = self.velocity.take() {
                moved = moved.addcmul(&velocity, &number(momentum, grad));
            }
            self.velocity = Some(moved.shallow_clone());
        }
        let _ = theta.addcmul_(&moved, &number(-lr, grad));
    }
}

/// g + decay theta.
fn decayed(grad: &Tensor, theta: &Tensor, decay: f64) -> Tensor {
    if decay == 0.0 { grad.shallow_clone() } else { grad.addcmul(theta, &number(decay, grad)) }
}

/// A number where `near` lies.
fn number(value: f64, near: &Tensor) -> Tensor {
    Tensor::from(value as f32).to_device(near.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Stream};

    /// What the documentation says, value by value in f64.
    struct Twin {
        spec: run::Optimizer,
        velocity: Option<Vec<f64>>,
        moments: [Vec<f64>; 2],
        steps: i32,
    }

    impl Twin {
        fn step(&mut self, theta: &mut [f64], grad: &[f64], lr: f64) {
            self.steps += 1;
            match self.spec {
                run::Optimizer::Sgd { momentum, weight_decay, nesterov, .. } => {
                    let grad: Vec<f64> = grad.iter().zip(&*theta).map(|(g, p)| g + weight_decay * p).collect();
                    let velocity = match &self.velocity {
                        Some(old) => old.iter().zip(&grad).map(|(v, g)| momentum * v + g).collect(),
                        None => grad.clone(),
                    };
                    for i in 0..theta.len() {
                        theta[i] -= lr * if nesterov { grad[i] + momentum * velocity[i] } else { velocity[i] };
                    }
                    self.velocity = Some(velocity);
                }
                run::Optimizer::Sam { lr: base, momentum, weight_decay, .. } => {
                    self.spec = run::Optimizer::Sgd { lr: base, momentum, weight_decay, nesterov: false };
                    self.steps -= 1;
                    self.step(theta, grad, lr);
                }
                run::Optimizer::Rmsprop { alpha, eps, momentum, weight_decay, .. } => {
                    let velocity = self.velocity.get_or_insert_with(|| vec![0.0; theta.len()]);
                    for i in 0..theta.len() {
                        let grad = grad[i] + weight_decay * theta[i];
                        let square = &mut self.moments[0][i];
                        *square = alpha * *square + (1.0 - alpha) * grad * grad;
                        velocity[i] = momentum * velocity[i] + grad / (square.sqrt() + eps);
                        theta[i] -= lr * velocity[i];
                    }
                }
                run::Optimizer::Adam { beta1, beta2, eps, weight_decay, .. } => {
                    for i in 0..theta.len() {
                        let grad = grad[i] + weight_decay * theta[i];
                        let [m, v] = &mut self.moments;
                        m[i] = beta1 * m[i] + (1.0 - beta1) * grad;
                        v[i] = beta2 * v[i] + (1.0 - beta2) * grad * grad;
                        let (m, v) = (m[i] / (1.0 - beta1.powi(self.steps)), v[i] / (1.0 - beta2.powi(self.steps)));
                        theta[i] -= lr * m / (v.sqrt() + eps);
                    }
                }
                run::Optimizer::Adamw { beta1, beta2, eps, weight_decay, .. } => {
                    for i in 0..theta.len() {
                        let [m, v] = &mut self.moments;
                        theta[i] *= 1.0 - lr * weight_decay;
                        m[i] = beta1 * m[i] + (1.0 - beta1) * grad[i];
                        v[i] = beta2 * v[i] + (1.0 - beta2) * grad[i] * grad[i];
                        let (m, v) = (m[i] / (1.0 - beta1.powi(self.steps)), v[i] / (1.0 - beta2.powi(self.steps)));
                        theta[i] -= lr * m / (v.sqrt() + eps);
                    }
                }
            }
        }
    }

    fn assert_follows_its_twin(spec: run::Optimizer) {
        for in_vectors in [false, true] {
            assert_follows(spec, in_vectors);
        }
    }

    fn assert_follows(spec: run::Optimizer, in_vectors: bool) {
        let len = 1000;
        let mut stream = Stream::new(1, Purpose::Init, 0);
        let mut draw = || -> Vec<f32> { (0..len).map(|_| stream.normal() as f32).collect() };
        let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let start = draw();
        let mut twin = Twin { spec, velocity: None, moments: [vec![0.0; len], vec![0.0; len]], steps: 0 };
        let mut twin_theta = wide(&start);
        let mut optimizer = Optimizer::new(&spec, len, Device::Cpu);
        let mut theta = Tensor::from_slice(&start).set_requires_grad(true);
        for step in 0..20 {
            let (grad, lr) = (draw(), 0.1 / f64::from(step + 1));
            let grad_tensor = Tensor::from_slice(&grad);
            if in_vectors {
                let _guard = tch::no_grad_guard();
                optimizer.steps += 1;
                optimizer.step_in_vectors(&mut theta.detach(), &grad_tensor, lr);
            } else {
                // In pieces of any shape.
                let pieces = [grad_tensor.narrow(0, 0, 600).view([20, 30]), grad_tensor.narrow(0, 600, 400)];
                optimizer.step_by(&mut theta, &pieces, lr);
            }
            twin.step(&mut twin_theta, &wide(&grad), lr);
            assert_eq!(Vec::<f32>::try_from(&grad_tensor).unwrap(), grad, "the gradient is the caller's");
        }
        for (ours, twin) in Vec::<f32>::try_from(theta.detach()).unwrap().into_iter().zip(twin_theta) {
            assert!((f64::from(ours) - twin).abs() <= 2e-6 * twin.abs().max(1.0), "{spec:?}: {ours} for {twin}");
        }
    }

    #[test]
    fn sgd_follows_its_formula() {
        for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
            for weight_decay in [0.0, 5e-2] {
                assert_follows_its_twin(run::Optimizer::Sgd { lr: 0.1, momentum, weight_decay, nesterov });
            }
        }
    }

    #[test]
    fn adam_and_adamw_follow_their_formulas() {
        for name in ["adam", "adamw"] {
            assert_follows_its_twin(run::Optimizer::from_name(name).unwrap());
        }
        let (lr, beta1, beta2, eps, weight_decay) = (0.1, 0.5, 0.9, 1e-3, 0.3);
        assert_follows_its_twin(run::Optimizer::Adamw { lr, beta1, beta2, eps, weight_decay });
        assert_follows_its_twin(run::Optimizer::Adam { lr, beta1, beta2, eps, weight_decay });
    }

    #[test]
    fn rmsprop_follows_its_formula() {
        for (momentum, weight_decay) in [(0.0, 0.0), (0.9, 0.0), (0.5, 0.1)] {
            let (lr, alpha, eps) = (0.1, 0.9, 1e-3);
            assert_follows_its_twin(run::Optimizer::Rmsprop { lr, alpha, eps, momentum, weight_decay });
        }
    }

    #[test]
    fn sharpness_aware_minimisation_steps_as_sgd() {
        let (lr, rho, momentum, weight_decay) = (0.1, 0.05, 0.9, 0.1);
        assert_follows_its_twin(run::Optimizer::Sam { lr, rho, momentum, weight_decay });
    }
}
