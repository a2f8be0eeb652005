// The frame of the page: what is looked at (service, type, labels, time), and the view of it.

import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { cancelAll, useActivities } from './data/activity';
import { profileTypes, services, stats } from './data/api';
import { useToken } from './data/auth';
import { selector } from './data/selector';
import { copy } from './data/share';
import { PageContext, useUrlState, type Page } from './data/state';
import { resolve } from './data/time';
import { preferredType, typeLabel } from './data/types';
import { OF_SERVICE, type View } from './data/url';
import { forget, useQuery } from './data/use-query';
import { Access, barred } from './ui/access';
import { Icon } from './ui/icons';
import { LabelFilter } from './ui/label-filter';
import { Notice } from './ui/notice';
import { Picker } from './ui/picker';
import { Popover } from './ui/popover';
import { Progress } from './ui/progress';
import { useTheme } from './ui/theme';
import { TimePicker } from './ui/time-picker';
import { useShortcuts } from './ui/shortcuts';
import { Compare } from './views/compare';
import { Explore } from './views/explore';
import { Files } from './views/files';
import { Functions, FunctionSearch } from './views/functions';
import { Heatmap } from './views/heatmap';
import { Help } from './views/help';
import { Spans } from './views/spans';
import { Upload } from './views/upload';
import { Welcome } from './views/welcome';

export const VIEWS: { value: View; text: string }[] = [
  { value: 'explore', text: 'Explore' },
  { value: 'compare', text: 'Compare' },
  { value: 'heatmap', text: 'Heatmap' },
  { value: 'spans', text: 'Spans' },
  { value: 'functions', text: 'Functions' },
  { value: 'files', text: 'Files' },
];
const TOAST_MS = 2500;
const NO_NAMES: string[] = [];

export function App() {
  const [state, update] = useUrlState();
  const [now, setNow] = useState(() => Date.now());
  const [theme, toggleTheme] = useTheme();
  const [toast, setToast] = useState<{ text: string } | null>(null);
  const [dialog, setDialog] = useState<'help' | 'upload' | null>(null);
  const [dropped, setDropped] = useState<File[]>([]);
  const refresh = useCallback(() => {
    forget();
    setNow((before) => Math.max(before + 1, Date.now()));
  }, []);
  // Who else asks may be told something else.
  const token = useToken();
  const asked = useRef(token);
  useEffect(() => {
    if (asked.current === token) return;
    asked.current = token;
    refresh();
  }, [token, refresh]);
  const notify = useCallback((text: string) => setToast({ text }), []);
  useEffect(() => {
    if (!toast) return;
    const timer = setTimeout(() => setToast(null), TOAST_MS);
    return () => clearTimeout(timer);
  }, [toast]);

  // From here on it answers to keys and clicks.
  useEffect(() => void performance.mark('interactive'), []);

  const range = useMemo(() => resolve(state, now), [state.from, state.until, now]);
  const span = `${state.tenant}|${range.start}|${range.end}`;
  const isFiles = state.view === 'files';
  const known = useQuery('services', isFiles ? null : `services|${span}`, (signal, progress) => services(range, { tenant: state.tenant, signal, progress }));
  const types = useQuery('profile types', isFiles || !state.service ? null : `types|${span}|${state.service}`, (signal) => profileTypes(selector(state.service, ''), range, { tenant: state.tenant, signal }));
  const ever = useQuery('the state of the server', known.data?.length === 0 ? `stats|${span}` : null, (signal) => stats({ tenant: state.tenant, signal }));

  // A first service and type, so that a plain address shows something.
  useEffect(() => {
    if (!state.service && state.view !== 'functions' && known.data?.length) update({ service: known.data[0] }, 'replace');
  }, [known.data, state.service, state.view, update]);
  useEffect(() => {
    if (state.service && types.data?.length && !types.stale && !state.type) update({ type: preferredType(types.data) }, 'replace');
  }, [types.data, types.stale, state.type, state.service, update]);

  const share = useCallback(() => {
    void copy(location.href).then(() => notify('Link copied'));
  }, [notify]);
  useShortcuts({ update, refresh, share, toggleTheme, help: () => setDialog('help'), upload: () => setDialog('upload'), cancel: cancelAll });
  const dropping = useDrop((files) => {
    setDropped(files);
    setDialog('upload');
  });
  const busy = useActivities().length > 0;
  useEffect(() => {
    document.title = [state.service, 'Flamelake'].filter(Boolean).join(' · ');
  }, [state.service]);

  const page = useMemo<Page>(() => ({ state, update, now, refresh, notify }), [state, update, now, refresh, notify]);
  const empty = known.data?.length === 0 && !known.loading && !state.service;
  // Without a type there is nothing that a view could ask.
  const bare = state.view !== 'functions' && state.service !== '' && state.type === '' && types.data?.length === 0 && !types.stale;
  const show = (view: View) => update({ view, focus: '' });
  const refused = known.error && barred(known.code, known.error);
  return (
    <PageContext value={page}>
      <a className="skip" href="#content">Skip to the profile</a>
      <header className="top">
        <a className="brand" href="/" aria-label="Flamelake" onClick={(event) => { event.preventDefault(); update({ view: 'explore', focus: '', search: '', func: '', profile: '', span: '', trace: '' }); }}>
          <svg viewBox="0 0 16 16" width="18" height="18" aria-hidden="true"><g fill="currentColor"><rect x="1" y="2" width="14" height="3" rx=".8" /><rect x="1" y="6.5" width="9" height="3" rx=".8" /><rect x="1" y="11" width="5" height="3" rx=".8" /></g></svg>
          <span>Flamelake</span>
        </a>
        <nav aria-label="Views">
          {VIEWS.map((view, i) => (
            <button type="button" key={view.value} aria-current={state.view === view.value ? 'page' : undefined} aria-keyshortcuts={String(i + 1)} onClick={() => show(view.value)}>
              {view.text}
            </button>
          ))}
        </nav>
        <ViewMenu view={state.view} show={show} />
        <span className="spacer" />
        <Access />
        <button type="button" className="button quiet" aria-label="Upload files" aria-keyshortcuts="u" title="Upload files (u)" onClick={() => setDialog('upload')}><Icon name="upload" /></button>
        <button type="button" className="button quiet" aria-label="Copy a link to what is shown" aria-keyshortcuts="y" title="Copy link (y)" onClick={share}><Icon name="link" /></button>
        <button type="button" className="button quiet" aria-label={theme === 'dark' ? 'Light theme' : 'Dark theme'} aria-keyshortcuts="d" title="Dark or light (d)" onClick={toggleTheme}><Icon name={theme === 'dark' ? 'sun' : 'moon'} /></button>
        <button type="button" className="button quiet" aria-label="Keys" aria-keyshortcuts="?" title="Keys (?)" onClick={() => setDialog('help')}><Icon name="help" /></button>
      </header>
      {isFiles ? (
        <Files theme={theme} upload={() => setDialog('upload')} barred={barred} />
      ) : (
        <>
          <div className="query" role="search" aria-label="What is looked at">
            {state.view === 'functions' ? (
              <FunctionSearch />
            ) : (
              <>
                <Picker id="service" label="Service" shortcut="p" placeholder="choose" value={state.service} options={known.data ?? NO_NAMES} loading={known.loading} choose={(service) => update({ ...OF_SERVICE, service })} />
                <Picker id="type" label="Type" shortcut="t" placeholder="choose" value={state.type} options={types.data ?? NO_NAMES} text={typeLabel} loading={types.loading} choose={(type) => update({ type, focus: '', profile: '', span: '', trace: '' })} />
                <LabelFilter id="filter" value={state.filter} service={state.service} tenant={state.tenant} range={range} apply={(filter) => update({ filter, focus: '' })} />
              </>
            )}
            <TimePicker id="time" value={state} now={now} apply={(next) => update({ ...next })} />
            <button type="button" className="button" aria-label="Refresh" aria-keyshortcuts="." title="Refresh (.)" onClick={refresh}><Icon name="refresh" /></button>
          </div>
          <main id="content" className={state.view} aria-busy={busy} tabIndex={-1}>
            {refused ? (
              refused
            ) : known.error ? (
              <Notice tone="error" title={known.code ? 'The server refuses this' : 'The server did not answer'} action={known.code === 'invalid_argument' ? { text: 'Last hour', run: () => update({ from: 'now-1h', until: 'now' }) } : { text: 'Try again', run: known.retry }}>{known.error}</Notice>
            ) : empty && ever.data?.ingested ? (
              <Notice title="No profiles in this range" action={{ text: 'Last 24 hours', run: () => update({ from: 'now-24h', until: 'now' }) }}>There are profiles at other times, the newest of {new Date(ever.data.newest).toLocaleString()}.</Notice>
            ) : types.error && state.type === '' ? (
              <Notice tone="error" title="The profile types could not be read" action={{ text: 'Try again', run: types.retry }}>{types.error}</Notice>
            ) : bare ? (
              <Notice title="No profiles in this range" action={{ text: 'Last 24 hours', run: () => update({ from: 'now-24h', until: 'now' }) }}>{state.service} has none here. Look at a longer range, or choose another service.</Notice>
            ) : empty ? (
              <Welcome upload={() => setDialog('upload')} />
            ) : state.view === 'compare' ? (
              <Compare theme={theme} services={known.data ?? NO_NAMES} types={types.stale ? NO_NAMES : (types.data ?? NO_NAMES)} />
            ) : state.view === 'heatmap' ? (
              <Heatmap theme={theme} />
            ) : state.view === 'spans' ? (
              <Spans theme={theme} />
            ) : state.view === 'functions' ? (
              <Functions range={range} />
            ) : (
              <Explore theme={theme} />
            )}
          </main>
        </>
      )}
      <Progress />
      {dialog === 'help' && <Help close={() => setDialog(null)} />}
      {dialog === 'upload' && <Upload dropped={dropped} close={() => { setDialog(null); setDropped([]); }} />}
      {dropping && <div className="dropping" aria-hidden="true">Drop profiles to upload them</div>}
      <p className={toast ? 'toast shown' : 'toast'} role="status">{toast?.text}</p>
    </PageContext>
  );

}

/** The views where there is no room for them side by side. */
function ViewMenu({ view, show }: { view: View; show: (view: View) => void }) {
  const current = VIEWS.find((each) => each.value === view)?.text ?? '';
  return (
    <Popover
      label={`View: ${current}`}
      className="button quiet views"
      button={
        <>
          <span>{current}</span>
          <Icon name="chevron" />
        </>
      }
    >
      {(close) => (
        <div className="choices">
          {VIEWS.map((each) => (
            <button
              type="button"
              key={each.value}
              className="option"
              aria-current={each.value === view ? 'page' : undefined}
              onClick={() => {
                close();
                show(each.value);
              }}
            >
              {each.text}
            </button>
          ))}
        </div>
      )}
    </Popover>
  );
}

/** Whether files are being dragged over the page; dropped ones go to `take`. */
function useDrop(take: (files: File[]) => void): boolean {
  const [over, setOver] = useState(false);
  useEffect(() => {
    const files = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
    const enter = (event: DragEvent) => {
      if (!files(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (!event.relatedTarget) setOver(false);
    };
    const drop = (event: DragEvent) => {
      if (!files(event)) return;
      event.preventDefault();
      setOver(false);
      const list = [...(event.dataTransfer?.files ?? [])];
      if (list.length) take(list);
    };
    addEventListener('dragover', enter);
    addEventListener('dragleave', leave);
    addEventListener('drop', drop);
    return () => {
      removeEventListener('dragover', enter);
      removeEventListener('dragleave', leave);
      removeEventListener('drop', drop);
    };
  }, []);
  return over;
}
