//! What an image may cost as a whole.

use image::StoreOptions;
use image::limits::Limits;

use crate::fake_registry::FakeRegistry;
use crate::sample::{Blob, Layer, Packing, Sample, gzip, hello, tar};
use crate::world::{World, store_options};

fn world(limits: Limits) -> World {
    World::with(StoreOptions {
        limits,
        ..store_options()
    })
}

fn of_files(count: usize, packing: Packing) -> Layer {
    let names: Vec<String> = (0..count).map(|at| format!("{packing:?}{at}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
    let tar = tar(&files);
    let mut layer = Layer::new("none", b"", Packing::Gzip);
    layer.blob = Blob::new(gzip(&tar));
    layer.tar = tar;
    layer
}

#[tokio::test]
async fn the_files_of_all_layers_count_together() {
    let registry = FakeRegistry::start().await;
    let sample = Sample::new(vec![of_files(60, Packing::Gzip), of_files(60, Packing::Zstd)]);
    let reference = registry.push("app", "v1", &sample);
    let limits = |image_files| Limits {
        image_files,
        ..Limits::default()
    };
    world(limits(120)).pull(&reference).await.unwrap();
    let refusing = world(limits(119));
    let sentence =
        "the image has more than 119 files, which is all that this host allows; raise it with --image-files-max";
    refusing.check_refused(&reference, sentence).await;
    // Layers that are there already count as well.
    let part = Sample::new(vec![sample.layers[0].clone()]);
    refusing.pull(&registry.push("app", "part", &part)).await.unwrap();
    refusing.check_refused(&reference, sentence).await;
}

#[tokio::test]
async fn the_bytes_of_all_layers_count_together() {
    let registry = FakeRegistry::start().await;
    let sample = Sample::new(vec![Layer::large("a", 100_000), Layer::large("b", 100_000)]);
    let bytes: usize = sample.layers.iter().map(|layer| layer.tar.len()).sum();
    let reference = registry.push("app", "v1", &sample);
    let limits = |image_bytes| Limits {
        image_bytes,
        ..Limits::default()
    };
    world(limits(bytes as u64)).pull(&reference).await.unwrap();
    let sentence = format!("the image has more than {} bytes", bytes - 1);
    world(limits(bytes as u64 - 1))
        .check_refused(&reference, &sentence)
        .await;
}

#[tokio::test]
async fn a_layer_that_explodes_is_refused() {
    let registry = FakeRegistry::start().await;
    let bomb = Sample::new(vec![Layer::new("zeros", &vec![0; 80 << 20], Packing::Zstd)]);
    let reference = registry.push("app", "v1", &bomb);
    let world = world(Limits::default());
    world.pull(&registry.push("good", "v1", &hello())).await.unwrap();
    let sentence = "expands to more than 1100 times its size";
    world.check_refused(&reference, sentence).await;
    // Deflate cannot do that.
    let zeros = Sample::new(vec![Layer::new("zeros", &vec![0; 80 << 20], Packing::Gzip)]);
    world.pull(&registry.push("app", "v2", &zeros)).await.unwrap();
}
