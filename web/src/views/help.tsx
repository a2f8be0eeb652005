// The keys.

import { Dialog } from '../ui/dialog';

export const KEYS: { group: string; keys: [string, string][] }[] = [
  {
    group: 'Anywhere',
    keys: [
      ['/', 'Find functions'],
      ['p', 'Choose a service'],
      ['t', 'Choose a profile type'],
      ['l', 'Filter by labels'],
      ['r', 'Choose a range of time'],
      ['1 … 6', 'Views'],
      ['g', 'Go to the flame graph'],
      ['y', 'Copy the link'],
      ['u', 'Upload files'],
      ['d', 'Dark or light'],
      ['.', 'Refresh'],
      ['Esc', 'Cancel what is running'],
      ['?', 'This list'],
    ],
  },
  {
    group: 'Flame graph',
    keys: [
      ['Arrows', 'Move between blocks'],
      ['Enter', 'Focus the block'],
      ['Backspace', 'Focus its parent'],
      ['+ −', 'Zoom in, out'],
      ['Shift ← →', 'Move the picture'],
      ['Esc', 'Whole graph'],
      ['s', 'Callers and callees'],
      ['Shift F10', 'Menu of the block'],
      ['Ctrl wheel', 'Zoom; drag to move'],
    ],
  },
  {
    group: 'Table',
    keys: [
      ['Arrows', 'Move'],
      ['Enter', 'Mark its blocks'],
      ['s', 'Callers and callees'],
    ],
  },
  {
    group: 'Changes',
    keys: [['Arrows', 'Move'], ['Enter', 'Show it in the graph']],
  },
  {
    group: 'Heatmap',
    keys: [['Arrows', 'From cell to cell'], ['Esc', 'No cell']],
  },
  {
    group: 'Chart',
    keys: [
      ['Drag', 'Choose a range'],
      ['← →', 'Earlier, later'],
      ['+ −', 'Zoom in, out'],
    ],
  },
];

export function Help({ close }: { close: () => void }) {
  return (
    <Dialog title="Keys" close={close}>
      <div className="keys">
        {KEYS.map(({ group, keys }) => (
          <section key={group}>
            <h3>{group}</h3>
            <dl>
              {keys.map(([key, what]) => (
                <div key={key + what}>
                  <dt>
                    {key.split(' ').map((each) => (
                      <kbd key={each}>{each}</kbd>
                    ))}
                  </dt>
                  <dd>{what}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
