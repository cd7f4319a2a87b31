//! The sweep of every round: seconds of work, in which everything is that can be interrupted.

use std::path::Path;

/// Its name.
pub const NAME: &str = "chaos";

/// Trainings of plain and momentum steps, AdamW, batch norm, dropout, augmentation; one that starts from another's end; whole
/// lines, lines of each layer, lines between runs, numbers of whole lines.
pub fn file(epochs: u32, seeds: u32) -> String {
    let short = epochs / 3;
    let kept = epochs / 4;
    format!(
        r#"
name = "{NAME}"
[data]
set = "mnist"
partial = true
[model]
architecture = "mlp"
[model.mlp]
widths = [32]
[train]
seed = "0..{seeds}"
optimizer = {{ name = "sgd", lr = 0.02, momentum = 0.9 }}
epochs = {short}
batch_size = 32
keep = ["init", "epochs:{kept}", "final"]
[[case]]
label = "plain"
[[case]]
label = "norm"
model.mlp.batch_norm = true
train.optimizer = {{ name = "adamw", lr = 0.001 }}
train.epochs = {epochs}
[[case]]
label = "augmented"
data.augment = {{ flip = true, crop = 2 }}
model.mlp.batch_norm = true
model.mlp.dropout = 0.1
train.epochs = {epochs}
[[case]]
label = "after"
init.from = {{ case = "plain" }}
train.optimizer = {{ name = "sgd", lr = 0.005 }}
[[probe]]
kind = "line"
alphas = {{ start = 0.0, stop = 1.0, count = 41 }}
layers = ["all", "each"]
splits = ["train", "test"]
[[probe]]
kind = "line"
name = "between"
to = {{ seed = 0 }}
alphas = {{ start = -0.25, stop = 1.25, count = 13 }}
batch_norm = "recalibrate"
measures = ["ensemble"]
splits = ["test"]
"#
    )
}

/// A part of MNIST that never was, in `DATA/mnist`: each class a bar at a place of its own, on noise.
pub fn data(data: &Path, train: u32, test: u32) -> std::io::Result<()> {
    let folder = data.join("mnist");
    std::fs::create_dir_all(&folder)?;
    let mut noise = 0x2545_f491_u32;
    let mut next = || {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        noise
    };
    for (prefix, n) in [("train", train), ("t10k", test)] {
        let mut images = [0x803_u32, n, 28, 28].map(u32::to_be_bytes).concat();
        let mut labels = [0x801_u32, n].map(u32::to_be_bytes).concat();
        for i in 0..n {
            let label = (i % 10) as u8;
            labels.push(label);
            for _ in 0..28 {
                for column in 0..28_u32 {
                    let bar = if column / 2 == u32::from(label) + 2 { 100 } else { 0 };
                    images.push(bar + (next() % 150) as u8);
                }
            }
        }
        std::fs::write(folder.join(format!("{prefix}-images-idx3-ubyte")), images)?;
        std::fs::write(folder.join(format!("{prefix}-labels-idx1-ubyte")), labels)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use transect_common::sweep::SweepFile;

    #[test]
    fn it_is_a_sweep() {
        let file = SweepFile::parse(&super::file(12, 2)).unwrap();
        assert_eq!(file.name(), super::NAME);
    }
}
