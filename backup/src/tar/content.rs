//! The tar stream of a chain of archives, from any place on.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::archive::{Data, ReadError, Shelf, decoded, open_manifest};
use crate::manifest::{ChainLink, Place};

/// How many decoded frames are kept.
const KEPT: usize = 3;

/// Which archive of the chain, and which of its frames.
type Key = (u32, u32);

/// Decodes frames of a chain's archives, each once as long as they are asked for in order.
pub(super) struct Content<'a> {
    shelf: &'a dyn Shelf,
    chain: &'a [ChainLink],
    open: Vec<Option<Data>>,
    kept: VecDeque<(Key, Arc<Vec<u8>>)>,
    /// The frame behind the one that was asked for last is decoded meanwhile.
    ahead: Option<(Key, JoinHandle<io::Result<Vec<u8>>>)>,
    last: Option<Key>,
}

impl<'a> Content<'a> {
    pub(super) fn new(shelf: &'a dyn Shelf, chain: &'a [ChainLink]) -> Self {
        let open = chain.iter().map(|_| None).collect();
        Self { shelf, chain, open, kept: VecDeque::new(), ahead: None, last: None }
    }

    /// The stream from a place on.
    pub(super) fn at<'c>(&'c mut self, place: Place) -> io::Result<Stream<'c, 'a>> {
        let frame = self.frame((place.archive, place.frame))?;
        Ok(Stream { content: self, key: (place.archive, place.frame), frame, at: place.offset as usize })
    }

    fn frame(&mut self, key: Key) -> io::Result<Arc<Vec<u8>>> {
        if let Some((_, frame)) = self.kept.iter().find(|(kept, _)| *kept == key) {
            return Ok(Arc::clone(frame));
        }
        let ahead = self.ahead.take_if(|(ahead, _)| *ahead == key);
        let frame = match ahead.map(|(_, thread)| thread.join()) {
            Some(Ok(decoded)) => decoded?,
            // A panic in there comes again here, if it is none of chance.
            Some(Err(_)) | None => {
                let stored = self.data(key.0)?.stored(key.1);
                let (frame, stored) = stored.ok_or_else(|| io::Error::other("the archive has no such frame"))?;
                decoded(&frame, &stored?)?
            }
        };
        let frame = Arc::new(frame);
        self.kept.push_back((key, Arc::clone(&frame)));
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
        let in_order = self.last.replace(key).is_some_and(|(archive, last)| (archive, last + 1) == key);
        let next = (key.0, key.1 + 1);
        if in_order
            && self.ahead.is_none()
            && let Some((frame, Ok(stored))) = self.data(next.0)?.stored(next.1)
        {
            self.ahead = Some((next, std::thread::spawn(move || decoded(&frame, &stored))));
        }
        Ok(frame)
    }

    fn data(&mut self, archive: u32) -> io::Result<&mut Data> {
        let none = || io::Error::other("the chain has no such archive");
        let link = self.chain.get(archive as usize).ok_or_else(none)?;
        let open = self.open.get_mut(archive as usize).ok_or_else(none)?;
        if open.is_none() {
            *open = Some(open_data(self.shelf, link).map_err(io::Error::other)?);
        }
        open.as_mut().ok_or_else(none)
    }
}

fn open_data(shelf: &dyn Shelf, link: &ChainLink) -> Result<Data, ReadError> {
    let manifest = open_manifest(shelf, &link.name)?;
    if manifest.footer.id != link.id {
        return Err(ReadError::Other { name: link.name.clone() });
    }
    let source = shelf.open(&link.name).map_err(|source| ReadError::Open { name: link.name.clone(), source })?;
    Ok(Data::new(source, manifest.table.frames))
}

/// Reads on over the ends of frames.
pub(super) struct Stream<'c, 'a> {
    content: &'c mut Content<'a>,
    key: Key,
    frame: Arc<Vec<u8>>,
    at: usize,
}

impl Read for Stream<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.frame.len() {
            self.key.1 += 1;
            self.frame = self.content.frame(self.key)?;
            self.at = 0;
        }
        let rest = self.frame.get(self.at..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        self.at += len;
        Ok(len)
    }
}
