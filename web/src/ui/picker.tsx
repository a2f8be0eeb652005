// One of many: a button that opens a field and a list filtered by it.

import { useId, useMemo, useState } from 'react';
import { filterNames } from '../data/filter';
import { Icon } from './icons';
import { Popover } from './popover';
import { ListBox } from './virtual-list';

interface Props {
  label: string;
  value: string;
  options: readonly string[];
  text?: (option: string) => string;
  /** Beside the text in the list, where it says more. */
  note?: (option: string) => string;
  placeholder: string;
  loading?: boolean;
  shortcut?: string;
  id?: string;
  className?: string;
  choose: (option: string) => void;
}

const ROW = 30;

/** Of the id of a profile type, what tells it from others of its name. */
const typeNote = (id: string) => id.split(':').slice(0, 2).join(':');

export function Picker(props: Props) {
  const { label, value, text = (option) => option, placeholder, shortcut, id, className = '' } = props;
  return (
    <Popover
      label={label}
      named={false}
      className={`button picker ${className}`}
      shortcut={shortcut}
      id={id}
      button={
        <>
          <span className="picker-label">{label}</span>
          <span className="picker-value">{value ? text(value) : placeholder}</span>
          <Icon name="chevron" />
        </>
      }
    >
      {(close) => <Chooser {...props} text={text} close={close} />}
    </Popover>
  );
}

function Chooser({ label, value, options, text, note = typeNote, loading, choose, close }: Props & { text: (option: string) => string; close: () => void }) {
  const [query, setQuery] = useState('');
  const list = useId();
  const labels = useMemo(() => new Map(options.map((option) => [text(option) === option ? option : `${text(option)} ${option}`, option])), [options, text]);
  const found = useMemo(() => filterNames([...labels.keys()], query).map((each) => labels.get(each)!), [labels, query]);
  const [active, setActive] = useState(() => Math.max(0, options.indexOf(value)));
  const take = (index: number) => {
    if (found[index] === undefined) return;
    choose(found[index]);
    close();
  };
  return (
    <div className="chooser">
      <div className="field">
        <Icon name="search" />
        <input
          autoFocus
          role="combobox"
          aria-label={`Find ${label.toLowerCase()}`}
          aria-expanded="true"
          aria-controls={list}
          aria-activedescendant={found.length ? `${list}-${active}` : undefined}
          placeholder={`Find among ${options.length.toLocaleString('en-US')}`}
          spellCheck={false}
          value={query}
          onChange={(event) => {
            setQuery(event.target.value);
            setActive(0);
          }}
          onKeyDown={(event) => {
            const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
            if (event.key in steps) setActive(Math.max(0, Math.min(found.length - 1, active + steps[event.key])));
            else if (event.key === 'Enter') take(active);
            else return;
            event.preventDefault();
          }}
        />
      </div>
      {found.length ? (
        <ListBox
          id={list}
          label={label}
          count={found.length}
          rowHeight={ROW}
          active={active}
          choose={take}
          isSelected={(index) => found[index] === value}
          row={(index) => (
            <>
              <span className="option-text">{text(found[index])}</span>
              {text(found[index]) !== found[index] && <span className="option-note">{note(found[index])}</span>}
              {found[index] === value && <Icon name="check" />}
            </>
          )}
        />
      ) : (
        <p className="nothing" id={list} role="listbox" aria-label={label}>
          {loading ? 'Loading…' : 'Nothing matches'}
        </p>
      )}
    </div>
  );
}
