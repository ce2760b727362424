//! One run: a fresh store, the call, what came out, and nothing left behind.

use std::{sync::Arc, time::Instant};

use wasmtime::{Engine, Store, component::InstancePre};

use super::{
    Cost, ErrorKind, LogLine, Output, RenderError, RenderJob, Rendered, Rendering, SecretHandles,
    SecretSource,
    bindings::{
        TransformerPre,
        types::{Decision, Failure, Request},
    },
    engine::TICK,
    fault,
    imports::State,
    limits::{HANDLES, Limits},
    text::clean_line,
    wasi::Wasi,
};

/// The most of a reason to skip that is kept.
pub(super) const MAX_REASON: usize = 1000;
/// The longest method that is let through to be validated.
const MAX_METHOD: usize = 32;

/// Runs `transform`.
pub(super) fn transform(pre: &TransformerPre<State>, limits: &Limits, job: RenderJob) -> Rendering {
    let wasi = Wasi::new(Arc::clone(&job.event), Arc::clone(&job.webhook));
    let (result, cost, logs) = run(pre.engine(), limits, job.secrets, wasi, |store| {
        pre.instantiate(&mut *store)?
            .call_transform(store, &job.event, &job.webhook)
    });
    let output = match result {
        Ok(Ok(Decision::Send(request))) => match within_limits(request, limits) {
            Ok(rendered) => Output::Request(rendered),
            Err(error) => Output::Error(error),
        },
        Ok(Ok(Decision::Skip(reason))) => Output::Skip(clean_line(&reason, MAX_REASON)),
        Ok(Err(failure)) => Output::Error(fault::from_guest(&failure)),
        Err(error) => Output::Error(error),
    };
    Rendering { output, cost, logs }
}

/// Makes an instance and drops it.
pub(super) fn instantiate(
    pre: &TransformerPre<State>,
    limits: &Limits,
) -> Result<Cost, RenderError> {
    let wasi = Wasi::new(Arc::default(), Arc::default());
    let (result, cost, _) = run(pre.engine(), limits, no_secrets(), wasi, |store| {
        pre.instantiate(store).map(drop)
    });
    result.map(|()| cost)
}

/// The export that looks at a webhook before it is saved.
pub(super) const CHECK: &str = "check";

/// Runs `check`, which the component must have.
pub(super) fn check(
    pre: &InstancePre<State>,
    limits: &Limits,
    webhook: &Arc<str>,
) -> Result<(), RenderError> {
    let wasi = Wasi::new(Arc::default(), Arc::clone(webhook));
    // no secrets: nothing is rendered, and there is no webhook yet that could be allowed them
    let (result, ..) = run(pre.engine(), limits, no_secrets(), wasi, |store| {
        let instance = pre.instantiate(&mut *store)?;
        let check =
            instance.get_typed_func::<(&str,), (Result<(), Failure>,)>(&mut *store, CHECK)?;
        let (verdict,) = check.call(store, (webhook,))?;
        Ok(verdict)
    });
    result?.map_err(|failure| fault::from_guest(&failure))
}

fn no_secrets() -> Arc<dyn SecretSource> {
    Arc::new(SecretHandles::default())
}

/// Calls a guest in a store of its own with all limits in force, from before its first instruction (a
/// start function is one) until the store is dropped, which is before this returns.
fn run<T>(
    engine: &Engine,
    limits: &Limits,
    secrets: Arc<dyn SecretSource>,
    wasi: Wasi,
    call: impl FnOnce(&mut Store<State>) -> wasmtime::Result<T>,
) -> (Result<T, RenderError>, Cost, Vec<LogLine>) {
    let started = Instant::now();
    let mut store = Store::new(engine, State::new(limits, secrets, wasi));
    store.limiter(|state| &mut state.meter);
    store.set_hostcall_fuel(limits.hostcall_bytes());
    store.set_max_component_handles(HANDLES);
    store.set_epoch_deadline(deadline_ticks(limits.deadline_ms));
    let result = store.set_fuel(limits.fuel).and_then(|()| call(&mut store));
    store.data_mut().end();
    let result = result.map_err(|error| fault::from_engine(&error, store.data(), limits));
    // `get_fuel` fails only in an engine without fuel
    let left = store.get_fuel().unwrap_or(0);
    let state = store.into_data();
    let cost = Cost {
        fuel: limits.fuel.saturating_sub(left),
        peak_memory_bytes: state.meter.peak_memory(),
        elapsed_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
    };
    (result, cost, state.into_log())
}

/// The deadline in ticks, at least as long as asked: the tick under way does not count.
fn deadline_ticks(deadline_ms: u64) -> u64 {
    let tick = u64::try_from(TICK.as_millis()).unwrap_or(1).max(1);
    deadline_ms.div_ceil(tick).saturating_add(1)
}

/// Checks a request against the limits on output, and names the webhook's field that breaks one.
pub(super) fn within_limits(request: Request, limits: &Limits) -> Result<Rendered, RenderError> {
    let too_large = |field: &str, what: &str, size: usize, limit: usize, key: &str| {
        let message = format!("{what} {size}; the limit is {limit} (sandbox.{key})");
        Err(RenderError::new(ErrorKind::OutputTooLarge, message).in_field(field))
    };
    if request.method.len() > MAX_METHOD {
        return Err(RenderError::new(
            ErrorKind::OutputTooLarge,
            format!("the method is longer than {MAX_METHOD} bytes, as no method is"),
        )
        .in_field("http_method"));
    }
    let url = request.url.len();
    if url > limits.url_bytes {
        return too_large(
            "payload_url",
            "the bytes of the URL are",
            url,
            limits.url_bytes,
            "url_bytes",
        );
    }
    let count = request.headers.len();
    if count > limits.headers {
        return too_large(
            "additional_headers",
            "the number of headers is",
            count,
            limits.headers,
            "headers",
        );
    }
    let longest = request
        .headers
        .iter()
        .map(|header| header.name.len().saturating_add(header.value.len()))
        .max()
        .unwrap_or(0);
    if longest > limits.header_bytes {
        return too_large(
            "additional_headers",
            "the bytes of a header are",
            longest,
            limits.header_bytes,
            "header_bytes",
        );
    }
    let body = request.body.len();
    if body > limits.body_bytes {
        return too_large(
            "body_template",
            "the bytes of the body are",
            body,
            limits.body_bytes,
            "body_bytes",
        );
    }
    Ok(Rendered {
        method: request.method,
        url: request.url,
        headers: request
            .headers
            .into_iter()
            .map(|header| (header.name, header.value))
            .collect(),
        body: request.body,
    })
}
