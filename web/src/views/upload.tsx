// Upload of files: to look at (kept as files, shared by address), or into a service as if they were pushed.

import { useEffect, useState } from 'react';
import { uploadFile } from '../data/api';
import { usePage } from '../data/state';
import { base64, FILE_BYTES_MAX, read, send, serviceOf, type Upload as File_ } from '../data/upload';
import { OF_SERVICE } from '../data/url';
import { forget, messageOf } from '../data/use-query';
import { formatValue } from '../data/units';
import { Dialog } from '../ui/dialog';
import { Segmented } from '../ui/segmented';

interface Props {
  dropped: File[];
  close: () => void;
}

type Way = 'look' | 'store';

export function Upload({ dropped, close }: Props) {
  const { state, update, refresh, notify } = usePage();
  const [files, setFiles] = useState<File_[]>([]);
  const [way, setWay] = useState<Way>('look');
  const [service, setService] = useState('');
  const [problem, setProblem] = useState('');
  const [sending, setSending] = useState<{ abort: AbortController; done: number } | null>(null);

  const add = async (list: File[]) => {
    setProblem('');
    try {
      const found = await Promise.all(list.map(read));
      setFiles(found);
      if (found[0]) setService((before) => before || serviceOf(found[0].name));
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  useEffect(() => {
    if (dropped.length) void add(dropped);
  }, [dropped]);

  const store = async (signal: AbortSignal) => {
    // Just now: a time in the past might lie before what the server still keeps.
    const time = Date.now() - 1000;
    for (const [i, file] of files.entries()) {
      await send(file, service, time, { tenant: state.tenant, signal });
      setSending((before) => before && { ...before, done: i + 1 });
    }
    notify(files.length === 1 ? `${files[0].name} is stored` : `${files.length} files are stored`);
    update({ ...OF_SERVICE, view: 'explore', service, search: '', from: 'now-15m', until: 'now' });
    refresh();
  };
  const look = async (signal: AbortSignal) => {
    const ids: string[] = [];
    for (const [i, file] of files.entries()) {
      const kept = await uploadFile(file.name.slice(-120), base64(file.raw), { tenant: state.tenant, signal });
      ids.push(kept.id);
      setSending((before) => before && { ...before, done: i + 1 });
    }
    forget();
    notify(files.length === 1 ? 'Kept: the address of this page opens it' : `${files.length} files are kept`);
    // Two files are uploaded to be compared; of more, the first shows.
    update({ view: 'files', file: ids[0], against: ids.length === 2 ? ids[1] : '', kind: '', focus: '', func: '', search: '', pane: 'both' });
  };
  const submit = async () => {
    const abort = new AbortController();
    setSending({ abort, done: 0 });
    setProblem('');
    try {
      await (way === 'look' ? look(abort.signal) : store(abort.signal));
      close();
    } catch (error) {
      if (!abort.signal.aborted) setProblem(messageOf(error));
      setSending(null);
    }
  };
  const tooLarge = way === 'look' ? files.find((file) => file.raw.length > FILE_BYTES_MAX) : undefined;
  const foreign = way === 'store' ? files.find((file) => file.format === 'other') : undefined;
  const obstacle = tooLarge
    ? `${tooLarge.name} is larger than ${formatValue(FILE_BYTES_MAX, 'bytes')}: put it into a service.`
    : foreign
      ? `${foreign.name} is not pprof, JFR, speedscope or folded stacks: it can be looked at, not put into a service.`
      : '';
  return (
    <Dialog title="Upload profiles" close={() => { sending?.abort.abort(); close(); }}>
      <form
        className="form upload"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <label className="drop">
          <input type="file" multiple aria-label="Files" onChange={(event) => void add([...(event.target.files ?? [])])} />
          {files.length ? (
            <ul>
              {files.map((file) => (
                <li key={file.name}>
                  <b>{file.name}</b>
                  <span className="muted">
                    {file.format === 'other' ? 'the server will tell' : file.format} · {formatValue(file.raw.length, 'bytes')}
                  </span>
                </li>
              ))}
            </ul>
          ) : (
            <span>
              Drop files here, or <u>choose</u> them
              <small>pprof, JFR, speedscope, folded stacks; gzipped or not</small>
            </span>
          )}
        </label>
        <div className="form-row">
          <span>What for</span>
          <Segmented
            label="What for"
            value={way}
            options={[
              { value: 'look', text: 'Look at it' },
              { value: 'store', text: 'Store in a service' },
            ]}
            choose={setWay}
          />
        </div>
        {way === 'store' && (
          <label className="form-row">
            <span>Service name</span>
            <input className="input" value={service} pattern="[a-zA-Z0-9_.\/\-]+" title="Letters, digits, _ . / -" required spellCheck={false} onChange={(event) => setService(event.target.value)} />
          </label>
        )}
        {(problem || obstacle) && (
          <p className="problem" role="alert">
            {problem || obstacle}
          </p>
        )}
        <p className="hint">{way === 'look' ? `Kept as a file of ${state.tenant ? `tenant ${state.tenant}` : 'your tenant'}: send its address to show it to others.${files.length === 2 ? ' Two files are compared.' : ''}` : 'Stored like any pushed profile, with the time of now.'}</p>
        <div className="form-actions">
          {sending && (
            <button type="button" className="button" onClick={() => sending.abort.abort()}>
              Cancel
            </button>
          )}
          <button type="submit" className="button primary" disabled={!files.length || (way === 'store' && !service) || Boolean(obstacle) || sending !== null}>
            {sending ? `Sending${files.length > 1 ? ` ${sending.done + 1} of ${files.length}` : ''}…` : 'Upload'}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
