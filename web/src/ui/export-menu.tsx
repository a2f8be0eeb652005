// Export of what is shown.

import { Icon } from './icons';
import { Popover } from './popover';

export interface ExportItem {
  text: string;
  note: string;
  run: () => void | Promise<void>;
}

export function ExportMenu({ items, fail }: { items: ExportItem[]; fail: (message: string) => void }) {
  return (
    <Popover label="Export" align="right" className="button quiet" button={<><Icon name="download" /><span className="wide">Export</span></>}>
      {(close) => (
        <div className="choices">
          {items.map((item) => (
            <button
              type="button"
              key={item.text}
              className="option"
              onClick={() => {
                close();
                Promise.resolve(item.run()).catch((error: Error) => fail(error.message));
              }}
            >
              <span className="option-text">{item.text}</span>
              <span className="option-note">{item.note}</span>
            </button>
          ))}
        </div>
      )}
    </Popover>
  );
}
