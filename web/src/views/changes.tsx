// Which functions changed between the two sides, and is it more than noise: the server's test over single profiles, beside the diff.

import { useDeferredValue, useMemo } from 'react';
import { compareFunctions, compareMarkdown, type Comparison, type Query } from '../data/api';
import { copy } from '../data/share';
import { usePage } from '../data/state';
import { messageOf, useQuery } from '../data/use-query';
import { formatCount, formatShare } from '../data/units';
import { LEAST, SURE } from '../data/url';
import { shortName } from '../flame/draw';
import { matcher } from '../flame/search';
import { ChangeTable, type ChangeKey } from '../ui/change-table';
import { Icon } from '../ui/icons';
import { Notice } from '../ui/notice';
import { Segmented } from '../ui/segmented';
import { GraphState } from './explore';

/** Functions of each list. */
const LIMIT = 200;
/** Of those that are copied: a person reads them. */
const COPIED = 20;
/** Where so large a part of all functions changed, most only made room. */
const MANY = 1 / 3;
/** Letters of a name within the sentence; the table has all of it. */
const NAME_MAX = 60;
const COLUMNS: ChangeKey[] = ['name', 'left', 'right', 'change', 'p'];

interface Props {
  left: Query;
  right: Query;
  /** The two questions as a text. */
  base: string;
  /** Shows a function in the flame graph. */
  open: (name: string) => void;
}

export function Changes({ left, right, base, open }: Props) {
  const { state, update, notify } = usePage();
  const { by, sure, least, ascending } = state;
  const options = { by, confidence: sure / 100, least: least / 100, limit: LIMIT };
  const answer = useQuery('the functions that changed', left.type !== right.type ? null : `changes|${base}|${by}|${sure}|${least}`, (signal, progress) =>
    compareFunctions(left, right, options, { tenant: state.tenant, signal, progress }),
  );
  const copyMarkdown = () =>
    compareMarkdown(left, right, { ...options, limit: COPIED }, { tenant: state.tenant })
      .then(copy)
      .then(() => notify('Copied as Markdown'), (error: unknown) => notify(messageOf(error)));
  const search = useDeferredValue(state.search);
  const found = answer.data;
  const rows = useMemo(() => {
    const matches = matcher(search);
    return (found?.changed ?? []).filter((row) => !matches || matches(row.name));
  }, [found, search]);
  const sort = COLUMNS.find((each) => each === state.sort) ?? 'change';
  if (left.type !== right.type) return <Notice title="The sides have different types">The test is about profiles of one type. The other panes compare the sums.</Notice>;
  if (['404', 'not_found', 'unimplemented'].includes(answer.code)) return <Notice title="This server is older than its page">It does not test yet which functions changed. The table compares the sums.</Notice>;
  return (
    <div className={answer.stale ? 'change-pane stale' : 'change-pane'}>
      <div className="change-tools card-head">
        <Segmented
          label="Value"
          value={by}
          options={[
            { value: 'self', text: 'Self', title: 'In the function itself' },
            { value: 'total', text: 'Total', title: 'With all that it calls' },
          ]}
          choose={(value) => update({ by: value }, 'replace')}
        />
        <select className="input small" aria-label="Smallest change" value={least} onChange={(event) => update({ least: Number(event.target.value) }, 'replace')}>
          {LEAST.map((each) => (
            <option key={each} value={each}>
              {each ? `≥ ${each} pp` : 'any change'}
            </option>
          ))}
        </select>
        <select className="input small" aria-label="Confidence" value={sure} onChange={(event) => update({ sure: Number(event.target.value) }, 'replace')}>
          {SURE.map((each) => (
            <option key={each} value={each}>
              {each} % sure
            </option>
          ))}
        </select>
        <span className="spacer" />
        {found && found.changed.length > 0 && (
          <button type="button" className="button quiet" title="As a table in Markdown, for a pull request" onClick={() => void copyMarkdown()}>
            <Icon name="copy" /> <span>Markdown</span>
          </button>
        )}
      </div>
      <GraphState query={answer}>
        {found && (
          <div className="change-scroll">
            <Verdict {...verdict(found)} />
            {rows.length > 0 && <ChangeTable rows={rows} sure={percent(found.asked.confidence)} sort={sort} ascending={ascending} setSort={(key, up) => update({ sort: key, ascending: up }, 'replace')} marked={state.func} choose={open} />}
            {rows.length === 0 && found.changed.length > 0 && <p className="nothing">None of them has “{search}” in its name</p>}
            <Rest of={found} />
          </div>
        )}
      </GraphState>
    </div>
  );
}

interface Words {
  title: string;
  text: string;
}

function Verdict({ title, text }: Words) {
  return (
    <div className="verdict" role="status">
      <h3>{title}</h3>
      <p>{text}</p>
    </div>
  );
}

/** The outcome in plain words. */
export function verdict(found: Comparison): Words {
  const { asked, profiles, tested, changed, changedCount } = found;
  const counts = `${formatCount(profiles[0])} and ${formatCount(profiles[1])} profiles`;
  if (tested === 0 && found.unjudgedCount === 0) return { title: 'No functions here', text: `There are ${counts}, and no samples with names in them.` };
  if (tested === 0) return { title: 'Too few profiles to tell', text: `${capital(found.unjudged[0]?.reason ?? `there are ${counts}`)}. Choose longer ranges or fewer labels; the other panes show the sums as they are.` };
  const size = asked.least ? ` by ${percent(asked.least)} percentage ${asked.least === 0.01 ? 'point' : 'points'} or more` : '';
  if (changedCount === 0) return { title: `No function changed${size} beyond the noise`, text: `Over ${counts}, the ${asked.by === 'self' ? 'own shares' : 'shares'} of ${formatCount(tested)} functions differ no more than chance explains${asked.least ? ', or by less' : ''}. More profiles show smaller changes.` };
  const top = changed[0];
  const most = `Most of all ${clipped(shortName(top.name))}, from ${formatShare(top.before, 1)} to ${formatShare(top.after, 1)}.`;
  const room = changedCount > 2 && changedCount > tested * MANY ? ' Where one function grows, all others have a smaller share: the first rows are mostly the cause.' : '';
  return {
    title: `${formatCount(changedCount)} of ${formatCount(tested)} functions changed${size} beyond the noise`,
    text: `${most} Over ${counts}, the chance that any of them is a false alarm is at most ${percent(1 - asked.confidence)} %.${room}`,
  };
}

/** Without the dust that multiplying leaves. */
const percent = (part: number) => Number((part * 100).toFixed(3));
const clipped = (name: string) => (name.length > NAME_MAX ? `${name.slice(0, NAME_MAX - 1)}…` : name);
const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** What the table leaves out. */
function Rest({ of }: { of: Comparison }) {
  const more = of.changedCount - of.changed.length;
  return (
    <div className="change-rest">
      {more > 0 && <p className="hint">{formatCount(more)} more functions changed by less.</p>}
      {of.leftOut > 0 && <p className="hint">{formatCount(of.leftOut)} functions cost too little to be tested.</p>}
      {of.unjudgedCount > 0 && (
        <details>
          <summary>{of.unjudgedCount === 1 ? 'One function' : `${formatCount(of.unjudgedCount)} functions`} could not be judged</summary>
          <ul aria-label="Functions that could not be judged">
            {of.unjudged.map((each) => (
              <li key={each.name}>
                <b title={each.name}>{shortName(each.name)}</b> {formatShare(each.before, 1)} → {formatShare(each.after, 1)} <span className="muted">{each.reason}</span>
              </li>
            ))}
          </ul>
          {of.unjudgedCount > of.unjudged.length && <p className="hint">and {formatCount(of.unjudgedCount - of.unjudged.length)} smaller ones</p>}
        </details>
      )}
    </div>
  );
}
