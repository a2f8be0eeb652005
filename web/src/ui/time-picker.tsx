// The range of time: presets, or two fields.

import { useState } from 'react';
import { describeRange, PRESETS, rangeProblem, type Range } from '../data/time';
import { Icon } from './icons';
import { Popover } from './popover';

interface Props {
  value: Range;
  now: number;
  id?: string;
  label?: string;
  align?: 'left' | 'right';
  apply: (range: Range) => void;
}

export function TimePicker({ value, now, id, label = 'Time', align = 'right', apply }: Props) {
  const text = describeRange(value, now);
  return (
    <Popover
      label={`${label}: ${text}`}
      id={id}
      align={align}
      shortcut="r"
      className="button picker time"
      button={
        <>
          <Icon name="clock" />
          <span className="picker-value">{text}</span>
          <Icon name="chevron" />
        </>
      }
    >
      {(close) => (
        <div className="time-panel">
          <div className="presets">
            {PRESETS.map((preset) => (
              <button
                type="button"
                key={preset.from}
                className="option"
                aria-pressed={value.from === preset.from && value.until === 'now'}
                onClick={() => {
                  apply({ from: preset.from, until: 'now' });
                  close();
                }}
              >
                {preset.label}
              </button>
            ))}
          </div>
          <Custom value={value} now={now} apply={(range) => { apply(range); close(); }} />
        </div>
      )}
    </Popover>
  );
}

function Custom({ value, now, apply }: { value: Range; now: number; apply: (range: Range) => void }) {
  const readable = (text: string) => {
    if (!/^\d{13}$/.test(text)) return text;
    const date = new Date(Number(text));
    const two = (part: number) => String(part).padStart(2, '0');
    return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  };
  const [from, setFrom] = useState(readable(value.from));
  const [until, setUntil] = useState(readable(value.until));
  const problem = rangeProblem(from, until, now);
  return (
    <form
      className="custom"
      onSubmit={(event) => {
        event.preventDefault();
        if (!problem) apply({ from, until });
      }}
    >
      <label>
        From
        <input className="input" value={from} spellCheck={false} onChange={(event) => setFrom(event.target.value)} />
      </label>
      <label>
        To
        <input className="input" value={until} spellCheck={false} onChange={(event) => setUntil(event.target.value)} />
      </label>
      {problem && <p className="problem" role="alert">{problem}</p>}
      <button type="submit" className="button primary" disabled={problem !== null}>
        Apply
      </button>
      <p className="hint">Local time, or now‑90m</p>
    </form>
  );
}
