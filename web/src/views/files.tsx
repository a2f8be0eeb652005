// Files that people uploaded to look at: of no service, shared by their address, compared two by two.

import { useEffect, useMemo, type ReactNode } from 'react';
import { file, fileDiff, files, type AdHocFile } from '../data/api';
import { fileName } from '../data/share';
import { usePage } from '../data/state';
import { localDate, localTime } from '../data/time';
import { useQuery } from '../data/use-query';
import { formatChange, formatCount, formatValue } from '../data/units';
import type { Theme } from '../flame/color';
import { isEmpty } from '../flame/tree';
import { Icon } from '../ui/icons';
import { Notice } from '../ui/notice';
import { Picker } from '../ui/picker';
import { Analysis, DiffLegend } from './analysis';
import { GraphState } from './explore';

const NONE: string[] = [];

interface Props {
  theme: Theme;
  upload: () => void;
  /** What stands instead when the server lets nobody in. */
  barred: (code: string, message: string) => ReactNode;
}

export function Files({ theme, upload, barred }: Props) {
  const { state, update } = usePage();
  const call = { tenant: state.tenant };
  const list = useQuery('the files', `files|${state.tenant}`, (signal) => files({ ...call, signal }));
  const known = useMemo(() => new Map<string, AdHocFile>((list.data ?? []).map((each) => [each.id, each])), [list.data]);
  const ids = useMemo<string[]>(() => [...known.keys()], [known]);
  const one = useQuery('the file', state.file && !state.against ? `file|${state.tenant}|${state.file}|${state.kind}|${state.nodes}` : null, (signal, progress) => file(state.file, state.kind, state.nodes, { ...call, signal, progress }));
  const both = useQuery('the comparison', state.file && state.against ? `files|${state.tenant}|${state.file}|${state.against}|${state.kind}|${state.nodes}` : null, (signal, progress) =>
    fileDiff(state.file, state.against, state.kind, state.nodes, { ...call, signal, progress }),
  );
  const shown = state.against ? both : one;
  const data = shown.data;
  // A kind of the file before, which this one has not: the server then says so; the page asks without.
  useEffect(() => {
    if (shown.code === 'invalid_argument' && state.kind) update({ kind: '' }, 'replace');
  }, [shown.code, state.kind, update]);

  const name = (id: string) => known.get(id)?.name ?? nameOf(id);
  const when = (id: string) => (known.get(id) ? dateTime(known.get(id)!.uploaded) : '');
  const kind = data?.type ?? state.kind;
  const title = state.against ? `${name(state.file)} → ${name(state.against)}` : name(state.file);
  const refused = list.error && barred(list.code, list.error);
  return (
    <>
      <div className="query" role="search" aria-label="What is looked at">
        <Picker id="service" label="File" shortcut="p" placeholder="choose" value={state.file} options={ids} text={name} note={when} loading={list.loading} choose={(id) => update({ file: id, against: '', focus: '', func: '' })} />
        {state.file && (
          <Picker id="type" label="Type" shortcut="t" placeholder="choose" value={kind} options={data?.types ?? NONE} text={(word) => word.replaceAll('_', ' ')} note={() => ''} choose={(word) => update({ kind: word, focus: '' })} />
        )}
        {state.file && (
          <Picker label="Compare with" placeholder="none" value={state.against} options={['', ...ids.filter((id) => id !== state.file)]} text={(id) => (id ? name(id) : 'none')} note={when} choose={(id) => update({ against: id, focus: '' })} />
        )}
        <span className="spacer" />
        <button type="button" className="button" onClick={upload}>
          <Icon name="upload" /> <span>Upload a file</span>
        </button>
      </div>
      <main id="content" className="explore files" aria-busy={list.loading || shown.loading} tabIndex={-1}>
        {refused ? (
          refused
        ) : list.error ? (
          <Notice tone="error" title={unknown(list.code) ? 'This server is older than its page' : 'The files could not be listed'} action={{ text: 'Try again', run: list.retry }}>
            {unknown(list.code) ? 'It keeps no files. Upload a profile into a service instead.' : list.error}
          </Notice>
        ) : !state.file ? (
          <List files={list.data} upload={upload} open={(id) => update({ file: id, against: '', focus: '', func: '' })} />
        ) : (
          <GraphState query={shown}>
            {data &&
              (isEmpty(data.tree) ? (
                <Notice title="An empty profile">{title} has no samples of this type.</Notice>
              ) : (
                <>
                  <div className="file-head">
                    <button type="button" className="button quiet" onClick={() => update({ file: '', against: '', focus: '', func: '' })}>
                      <Icon name="back" /> <span>All files</span>
                    </button>
                    <h1 title={title}>{title}</h1>
                    {data.tree.sides && (
                      <p className="compare-sum">
                        {formatValue(data.tree.sides.leftTicks, data.unit)} → {formatValue(data.tree.sides.rightTicks, data.unit)}
                        {data.tree.sides.leftTicks > 0 && <span className="muted"> {formatChange((data.tree.sides.rightTicks / data.tree.sides.leftTicks - 1) * 100)} %</span>}
                      </p>
                    )}
                    <span className="spacer" />
                    {data.tree.sides ? <DiffLegend /> : <span className="muted">{when(state.file)}</span>}
                  </div>
                  <Analysis tree={data.tree} unit={data.unit} theme={theme} title={title} name={fileName(title, kind)} stale={shown.stale} />
                </>
              ))}
          </GraphState>
        )}
      </main>
    </>
  );
}

function List({ files: all, upload, open }: { files: AdHocFile[] | undefined; upload: () => void; open: (id: string) => void }) {
  if (!all) return null;
  if (!all.length)
    return (
      <Notice title="No files yet" action={{ text: 'Upload a file', run: upload }}>
        Drop a pprof, JFR, speedscope, flamebearer, perf script or folded file anywhere on this page. It is kept for your tenant, and its address opens it for everybody who may see it.
      </Notice>
    );
  return (
    <section className="card file-list" aria-label="Files">
      <div className="card-head">
        <h2>Files</h2>
        <span className="muted">{formatCount(all.length)}</span>
      </div>
      <div className="scroll" tabIndex={0} role="region" aria-label="Files, scrolls">
        <table className="exemplars">
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Uploaded</th>
            </tr>
          </thead>
          <tbody>
            {all.map((each) => (
              <tr key={each.id} onClick={() => open(each.id)}>
                <td className="labels">
                  <button type="button" className="link plain" onClick={() => open(each.id)}>
                    {each.name}
                  </button>
                </td>
                <td>{dateTime(each.uploaded)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

const dateTime = (time: number) => `${localDate(time)} ${localTime(time)}`;
const unknown = (code: string) => code === '404' || code === 'not_found' || code === 'unimplemented';

/** The name within an id, `<ulid>-<name in hex>`. */
export function nameOf(id: string): string {
  const hex = id.split('-')[1] ?? '';
  if (!/^([0-9a-f]{2})+$/.test(hex)) return id;
  return new TextDecoder().decode(Uint8Array.from(hex.match(/../g)!, (pair) => Number.parseInt(pair, 16)));
}
