// Upload of files: what was dropped, under which name it is kept, and where to look then.

import { useEffect, useState } from 'react';
import { usePage } from '../data/state';
import { read, send, serviceOf, type Upload as File_ } from '../data/upload';
import { messageOf } from '../data/use-query';
import { formatValue } from '../data/units';
import { Dialog } from '../ui/dialog';

interface Props {
  dropped: File[];
  close: () => void;
}

export function Upload({ dropped, close }: Props) {
  const { state, update, refresh, notify } = usePage();
  const [files, setFiles] = useState<File_[]>([]);
  const [service, setService] = useState('');
  const [problem, setProblem] = useState('');
  const [sending, setSending] = useState<AbortController | null>(null);

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

  const submit = async () => {
    const abort = new AbortController();
    setSending(abort);
    setProblem('');
    try {
      // Just now: a time in the past might lie before what the server still keeps.
      const time = Date.now() - 1000;
      for (const file of files) await send(file, service, time, { tenant: state.tenant, signal: abort.signal });
      notify(files.length === 1 ? `${files[0].name} is stored` : `${files.length} files are stored`);
      update({ view: 'explore', service, type: '', filter: '', profile: '', span: '', focus: '', func: '', search: '', group: '', from: 'now-15m', until: 'now' });
      refresh();
      close();
    } catch (error) {
      if (!abort.signal.aborted) setProblem(messageOf(error));
      setSending(null);
    }
  };
  return (
    <Dialog title="Upload profiles" close={() => { sending?.abort(); close(); }}>
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
                    {file.format} · {formatValue(file.bytes.length, 'bytes')}
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
        <label className="form-row">
          <span>Service name</span>
          <input className="input" value={service} pattern="[a-zA-Z0-9_.\/\-]+" title="Letters, digits, _ . / -" required spellCheck={false} onChange={(event) => setService(event.target.value)} />
        </label>
        {problem && (
          <p className="problem" role="alert">
            {problem}
          </p>
        )}
        <p className="hint">Stored like any pushed profile, with the time of now.</p>
        <div className="form-actions">
          <button type="submit" className="button primary" disabled={!files.length || !service || sending !== null}>
            {sending ? 'Sending…' : 'Upload'}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
