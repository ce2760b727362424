//! The functions of the stand-in that do something.

use wasmtime::{
    StoreContextMut,
    component::{LinkerInstance, Resource},
};

use super::{
    Clock, Denied, Random, Wasi,
    clock::Datetime,
    random::MAX_BYTES,
    stdio::{
        Descriptor, InputStream, Output, OutputStream, StreamError, TerminalInput, TerminalOutput,
    },
};
use crate::imports::{State, charge};

/// The size that a stream says it takes in one write.
const WRITE: u64 = 64 * 1024;
/// The price of hashing, in fuel for each byte.
const HASH_FUEL: usize = 8;
/// The price of a line beside its bytes.
const LINE_FUEL: usize = 50;
/// The price of reading JSON, likewise.
const PARSE_FUEL: usize = 4;

type Store<'a> = StoreContextMut<'a, State>;
/// The result of the functions of streams.
type Streamed<T> = (Result<T, StreamError>,);

/// Defines the function, if it is one that does something; says whether it is.
pub(super) fn add(
    to: &mut LinkerInstance<'_, State>,
    interface: &str,
    name: &str,
) -> wasmtime::Result<bool> {
    match (interface, name) {
        ("cli/environment", "get-environment") => free(to, name, Vec::<(String, String)>::new),
        ("cli/environment", "get-arguments") => free(to, name, Vec::<String>::new),
        ("cli/environment", "initial-cwd") => free(to, name, || None::<String>),
        ("cli/stdin", "get-stdin") => free(to, name, || Resource::<InputStream>::new_own(0)),
        ("cli/stdout", "get-stdout") => free(to, name, || Output::Stdout.stream()),
        ("cli/stderr", "get-stderr") => free(to, name, || Output::Stderr.stream()),
        ("cli/terminal-stdin", "get-terminal-stdin") => {
            free(to, name, || None::<Resource<TerminalInput>>)
        }
        ("cli/terminal-stdout", "get-terminal-stdout")
        | ("cli/terminal-stderr", "get-terminal-stderr") => {
            free(to, name, || None::<Resource<TerminalOutput>>)
        }
        ("filesystem/preopens", "get-directories") => {
            free(to, name, Vec::<(Resource<Descriptor>, String)>::new)
        }
        ("clocks/wall-clock", "resolution") => free(to, name, || Datetime::RESOLUTION),
        ("clocks/monotonic-clock", "resolution") => free(to, name, || 1000_u64),
        ("clocks/wall-clock", "now") => to.func_wrap(name, |mut store: Store<'_>, ()| {
            Ok((clock(&mut store)?.wall(),))
        }),
        ("clocks/monotonic-clock", "now") => to.func_wrap(name, |mut store: Store<'_>, ()| {
            Ok((clock(&mut store)?.monotonic(),))
        }),
        ("random/random", "get-random-bytes")
        | ("random/insecure", "get-insecure-random-bytes") => {
            to.func_wrap(name, |mut store: Store<'_>, (count,): (u64,)| {
                let allowed = usize::try_from(count)
                    .ok()
                    .filter(|count| *count <= MAX_BYTES);
                let count =
                    allowed.ok_or_else(|| wasmtime::Error::new(Denied::RandomBytes(count)))?;
                Ok((random(&mut store, count)?.bytes(count),))
            })
        }
        ("random/random", "get-random-u64") | ("random/insecure", "get-insecure-random-u64") => to
            .func_wrap(name, |mut store: Store<'_>, ()| {
                Ok((random(&mut store, 8)?.number(),))
            }),
        ("random/insecure-seed", "insecure-seed") => {
            to.func_wrap(name, |mut store: Store<'_>, ()| {
                let random = random(&mut store, 16)?;
                Ok(((random.number(), random.number()),))
            })
        }
        ("io/streams", name) => return add_stream(to, name),
        _ => return Ok(false),
    }?;
    Ok(true)
}

fn add_stream(to: &mut LinkerInstance<'_, State>, name: &str) -> wasmtime::Result<bool> {
    type Out = Resource<OutputStream>;
    type In = Resource<InputStream>;
    match name {
        "[method]output-stream.check-write" => {
            to.func_wrap(name, |mut store: Store<'_>, (_,): (Out,)| {
                charge(&mut store, 0)?;
                let answer: Streamed<u64> = (Ok(WRITE),);
                Ok(answer)
            })
        }
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => to
            .func_wrap(
                name,
                |mut store: Store<'_>, (stream, bytes): (Out, Vec<u8>)| {
                    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
                    let price = lines.saturating_mul(LINE_FUEL);
                    charge(&mut store, price.saturating_add(bytes.len()))?;
                    let State { wasi, log, .. } = store.data_mut();
                    wasi.stdio.write(Output::of(&stream), &bytes, log);
                    let answer: Streamed<()> = (Ok(()),);
                    Ok(answer)
                },
            ),
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            to.func_wrap(name, |mut store: Store<'_>, (_,): (Out,)| {
                charge(&mut store, 0)?;
                let answer: Streamed<()> = (Ok(()),);
                Ok(answer)
            })
        }
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => {
            to.func_wrap(name, |mut store: Store<'_>, (_, _): (In, u64)| {
                charge(&mut store, 0)?;
                let answer: Streamed<Vec<u8>> = (Err(StreamError::Closed),);
                Ok(answer)
            })
        }
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => {
            to.func_wrap(name, |mut store: Store<'_>, (_, _): (In, u64)| {
                charge(&mut store, 0)?;
                let answer: Streamed<u64> = (Err(StreamError::Closed),);
                Ok(answer)
            })
        }
        _ => return Ok(false),
    }?;
    Ok(true)
}

/// Defines a function without parameters that always gives the same.
fn free<T>(to: &mut LinkerInstance<'_, State>, name: &str, value: fn() -> T) -> wasmtime::Result<()>
where
    T: wasmtime::component::Lower + 'static,
{
    to.func_wrap(name, move |mut store: Store<'_>, ()| {
        charge(&mut store, 0)?;
        Ok((value(),))
    })
}

/// The clock, read from the event the first time.
fn clock(store: &mut Store<'_>) -> wasmtime::Result<Clock> {
    let wasi = &store.data().wasi;
    let unread = match wasi.clock {
        Some(_) => 0,
        None => wasi.event.len(),
    };
    charge(store, unread.saturating_mul(PARSE_FUEL))?;
    let Wasi { clock, event, .. } = &mut store.data_mut().wasi;
    Ok(*clock.get_or_insert_with(|| Clock::of_event(event)))
}

/// The generator, seeded the first time, with `count` bytes of it paid.
fn random<'a>(store: &'a mut Store<'_>, count: usize) -> wasmtime::Result<&'a mut Random> {
    let wasi = &store.data().wasi;
    let unread = match wasi.random {
        Some(_) => 0,
        None => wasi.event.len().saturating_add(wasi.webhook.len()),
    };
    let hashed = count.saturating_add(unread);
    charge(store, hashed.saturating_mul(HASH_FUEL))?;
    let wasi = &mut store.data_mut().wasi;
    let (event, webhook) = (&wasi.event, &wasi.webhook);
    Ok(wasi
        .random
        .get_or_insert_with(|| Random::seeded(event, webhook)))
}
