//! Taking events in.

use crate::{
    backend::{
        BackendError, Enqueued, NewEvent,
        redis::{
            fault::stored,
            registry::named::write,
            script::ENQUEUE,
            store::{Mode, Store, text},
        },
    },
    model::{DeliveryId, EventId},
};

pub(super) async fn enqueue(
    store: &Store,
    batch: &[NewEvent],
) -> Result<Vec<Enqueued>, BackendError> {
    let Some(first) = batch.first() else {
        return Ok(Vec::new());
    };
    let shard = store.shard_of(first.event.tenant())?;
    let mut args =
        vec![crate::backend::redis::queue::micros(store.limits().idempotency_window).into_bytes()];
    for new in batch {
        if store.shard_of(new.event.tenant())? != shard {
            let message = "a batch of events must be of one tenant".to_owned();
            return Err(BackendError::Internal(message));
        }
        push(&mut args, new)?;
    }
    let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    let mut answer = store.run(shard, &ENQUEUE, &args, Mode::STORE).await?;
    if answer.tag == "MISMATCH" {
        return Err(BackendError::IdempotencyMismatch {
            key: answer.text()?,
        });
    }
    let mut parts = answer.ok()?.list()?.into_iter().map(text);
    let mut answers = Vec::with_capacity(batch.len());
    while let (Some(kind), Some(id), Some(deliveries)) = (parts.next(), parts.next(), parts.next())
    {
        answers.push(Enqueued {
            id: EventId::from(id?),
            deliveries: deliveries?
                .split_whitespace()
                .map(DeliveryId::from)
                .collect(),
            duplicate: kind? == "duplicate",
        });
    }
    if answers.len() == batch.len() {
        Ok(answers)
    } else {
        Err(stored(
            "enqueue answered for other events than it was given",
        ))
    }
}

/// One event, as the step reads it.
fn push(args: &mut Vec<Vec<u8>>, new: &NewEvent) -> Result<(), BackendError> {
    let event = &new.event;
    let (key, fingerprint) = match &new.idempotency {
        Some(idempotency) => (
            idempotency.key.as_str(),
            idempotency.fingerprint.as_deref().unwrap_or_default(),
        ),
        None => Default::default(),
    };
    let texts = [
        event.id().as_str(),
        event.tenant().as_str(),
        event.event_type(),
        event.object_type(),
        &event.received().as_millis().to_string(),
        &write(&new.explanation)?,
        event.context(),
        key,
        fingerprint,
        &new.deliveries.len().to_string(),
    ];
    args.extend(texts.map(|text| text.as_bytes().to_vec()));
    for delivery in &new.deliveries {
        let texts = [
            delivery.id.as_str(),
            delivery.webhook.as_str(),
            delivery.rule.as_str(),
        ];
        args.extend(texts.map(|text| text.as_bytes().to_vec()));
    }
    Ok(())
}
