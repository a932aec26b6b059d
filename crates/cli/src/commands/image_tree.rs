//! `mote images --tree`: images that begin with the same layers stand below these.

use std::collections::BTreeMap;

use api::image::{Image, StoredLayer};

use crate::output;
use crate::progress::short;

/// Layers and images on top of the same layers.
#[derive(Default)]
struct Branch<'a> {
    /// The images that end here.
    images: Vec<&'a Image>,
    /// What comes on top, in the order in which it was found.
    layers: Vec<(&'a StoredLayer, Branch<'a>)>,
}

/// The tree, a line for each image and for each run of layers that several images share.
pub fn lines(images: &[Image]) -> Vec<String> {
    let mut root = Branch::default();
    for image in images {
        let mut branch = &mut root;
        for layer in &image.layer_list {
            branch = branch.on_top(layer);
        }
        branch.images.push(image);
    }
    let mut lines = vec![];
    root.draw("", &mut lines);
    let each: u64 = images.iter().map(|image| image.size_bytes).sum();
    let stored: BTreeMap<&str, u64> = images
        .iter()
        .flat_map(|image| &image.layer_list)
        .map(|layer| (layer.diff_id.as_str(), layer.size_bytes))
        .collect();
    let stored: u64 = stored.values().sum();
    lines.push(format!(
        "{} images, {} in all, {} saved by sharing",
        images.len(),
        output::size(stored),
        output::size(each.saturating_sub(stored))
    ));
    lines
}

impl<'a> Branch<'a> {
    fn on_top(&mut self, layer: &'a StoredLayer) -> &mut Self {
        let at = self.layers.iter().position(|(other, _)| other.diff_id == layer.diff_id);
        let at = at.unwrap_or_else(|| {
            self.layers.push((layer, Self::default()));
            self.layers.len() - 1
        });
        &mut self.layers[at].1
    }

    /// Whether more than one image ends here or further up.
    fn is_shared(&self) -> bool {
        self.images_len() > 1
    }

    fn images_len(&self) -> usize {
        let above: usize = self.layers.iter().map(|(_, branch)| branch.images_len()).sum();
        self.images.len() + above
    }

    fn draw(&self, indent: &str, lines: &mut Vec<String>) {
        let count = self.images.len() + self.layers.len();
        let below = |at: usize| {
            let is_last = at + 1 == count;
            let deeper = if is_last { "   " } else { "│  " };
            (if is_last { "└─ " } else { "├─ " }, format!("{indent}{deeper}"))
        };
        for (at, image) in self.images.iter().enumerate() {
            lines.push(format!("{indent}{}{}", below(at).0, told(image, 0)));
        }
        for (at, (layer, branch)) in self.layers.iter().enumerate() {
            let (corner, deeper) = below(self.images.len() + at);
            // A run of layers with nothing beside them is one line.
            let (mut bytes, mut count, mut top) = (layer.size_bytes, 1, branch);
            while let ([], [(next, above)]) = (top.images.as_slice(), top.layers.as_slice()) {
                bytes += next.size_bytes;
                count += 1;
                top = above;
            }
            let plural = if count == 1 { "" } else { "s" };
            if top.is_shared() {
                let id = short(&layer.diff_id);
                let shared = top.images_len();
                let size = output::size(bytes);
                lines.push(format!(
                    "{indent}{corner}{count} layer{plural} from {id}, {size}, in {shared} images"
                ));
                top.draw(&deeper, lines);
            } else if let [image] = top.images.as_slice() {
                lines.push(format!("{indent}{corner}{}", told(image, bytes)));
            }
        }
    }
}

/// An image, and what it has alone.
fn told(image: &Image, own_bytes: u64) -> String {
    let name = match image.names.as_slice() {
        [] => short(&image.digest),
        names => names.join(", "),
    };
    let (whole, own) = (output::size(image.size_bytes), output::size(own_bytes));
    format!("{name}, {whole}, {own} of its own")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str, layers: &[(&str, u64)]) -> Image {
        let layer = |(id, size_bytes): &(&str, u64)| StoredLayer {
            diff_id: format!("sha256:{}", id.repeat(64)),
            size_bytes: *size_bytes,
            compressed_bytes: 1,
        };
        Image {
            names: vec![name.to_owned()],
            digest: format!("sha256:{}", "f".repeat(64)),
            platform: "linux/amd64".into(),
            created: None,
            size_bytes: layers.iter().map(|(_, bytes)| bytes).sum(),
            layers: layers.len(),
            stored_unix_ms: 0,
            layer_list: layers.iter().map(layer).collect(),
        }
    }

    #[test]
    fn what_is_shared_stands_once() {
        let images = [
            image("app:1", &[("a", 1000), ("b", 2000), ("c", 3000)]),
            image("app:2", &[("a", 1000), ("b", 2000), ("d", 4000)]),
            image("base:1", &[("a", 1000), ("b", 2000)]),
            image("other:1", &[("e", 5000)]),
        ];
        let expected = [
            "├─ 2 layers from aaaaaaaaaaaa, 3.0kB, in 3 images",
            "│  ├─ base:1, 3.0kB, 0B of its own",
            "│  ├─ app:1, 6.0kB, 3.0kB of its own",
            "│  └─ app:2, 7.0kB, 4.0kB of its own",
            "└─ other:1, 5.0kB, 5.0kB of its own",
            "4 images, 15.0kB in all, 6.0kB saved by sharing",
        ];
        assert_eq!(lines(&images), expected);
    }
}
