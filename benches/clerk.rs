//! What a session token from the cache costs: for one caller, and for each of 64 on
//! two threads.

#![allow(missing_docs, reason = "criterion writes functions without docs")]

use std::{hint::black_box, sync::Arc, time::Instant};

use afterbeat::clerk::{Refresher, RefresherBuilder, Request, Response, Transport, TransportError};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::{Builder, Runtime};

/// Mints a token that lives for 31 years.
struct Scripted;

impl Transport for Scripted {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let jwt = "eyJhbGciOiJub25lIn0.\
                   eyJzaWQiOiJzZXNzXzEiLCJzdWIiOiJ1c2VyXzEiLCJpYXQiOjAsImV4cCI6MTAwMDAwMDAwMH0.c2ln";
        let body = match request.path() {
            "/v1/client" => r#"{"response":{"sessions":[{"id":"sess_1"}]}}"#.to_owned(),
            _ => format!(r#"{{"jwt":"{jwt}"}}"#),
        };
        Ok(Response::new(200, body))
    }
}

fn refresher(runtime: &Runtime) -> Refresher {
    let _entered = runtime.enter();
    let api = "https://clerk.example.test".parse().unwrap();
    let refresher = RefresherBuilder::new(api, Scripted)
        .client_token("client".parse().unwrap())
        .spawn();
    runtime.block_on(refresher.get_token()).unwrap();
    refresher
}

fn cached(c: &mut Criterion) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let refresher = Arc::new(refresher(&runtime));
    let mut group = c.benchmark_group("get_token from the cache");
    group.throughput(Throughput::Elements(1));
    for callers in [1, 64] {
        group.bench_function(format!("{callers} callers"), |b| {
            b.iter_custom(|calls| {
                let begun = Instant::now();
                let each = calls.div_ceil(callers);
                let tasks: Vec<_> = (0..callers)
                    .map(|_| {
                        let refresher = Arc::clone(&refresher);
                        runtime.spawn(async move {
                            for _ in 0..each {
                                let _ = black_box(refresher.get_token().await);
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    runtime.block_on(task).unwrap();
                }
                begun.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, cached);
criterion_main!(benches);
