// Rows of one height, of which only the visible ones exist: ten thousand services cost as much as twenty.

import { useLayoutEffect, useRef, useState, type ReactNode, type RefObject } from 'react';

export interface Window {
  first: number;
  last: number;
  top: number;
  height: number;
}

const SPARE = 6;

/** Which rows are visible in `scroller`. */
export function useWindow(scroller: RefObject<HTMLElement | null>, count: number, rowHeight: number): Window {
  const [place, setPlace] = useState({ top: 0, height: 400 });
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const read = () => setPlace({ top: element.scrollTop, height: element.clientHeight });
    read();
    element.addEventListener('scroll', read, { passive: true });
    const observer = new ResizeObserver(read);
    observer.observe(element);
    return () => {
      element.removeEventListener('scroll', read);
      observer.disconnect();
    };
  }, [scroller]);
  const first = Math.max(0, Math.min(count - 1, Math.floor(place.top / rowHeight) - SPARE));
  const last = Math.min(count, Math.ceil((place.top + place.height) / rowHeight) + SPARE);
  return { first, last, top: first * rowHeight, height: count * rowHeight };
}

/** Scrolls so that a row can be seen. */
export function reveal(element: HTMLElement | null, index: number, rowHeight: number, header = 0): void {
  if (!element) return;
  const top = index * rowHeight;
  if (top < element.scrollTop) element.scrollTop = top;
  else if (top + rowHeight + header > element.scrollTop + element.clientHeight) element.scrollTop = top + rowHeight + header - element.clientHeight;
}

interface ListProps {
  id: string;
  count: number;
  rowHeight: number;
  active: number;
  label: string;
  row: (index: number) => ReactNode;
  choose: (index: number) => void;
  isSelected: (index: number) => boolean;
}

/** A listbox; the field that filters it keeps the focus and moves `active`. */
export function ListBox({ id, count, rowHeight, active, label, row, choose, isSelected }: ListProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const { first, last, top, height } = useWindow(scroller, count, rowHeight);
  useLayoutEffect(() => reveal(scroller.current, active, rowHeight), [active, rowHeight]);
  return (
    <div className="list" role="listbox" id={id} aria-label={label} ref={scroller} tabIndex={-1}>
      <div style={{ height, position: 'relative' }} role="presentation">
        <div style={{ transform: `translateY(${top}px)` }} role="presentation">
          {Array.from({ length: Math.max(0, last - first) }, (_, i) => first + i).map((index) => (
            <div
              key={index}
              id={`${id}-${index}`}
              role="option"
              aria-selected={isSelected(index)}
              aria-posinset={index + 1}
              aria-setsize={count}
              className={index === active ? 'option active' : 'option'}
              style={{ height: rowHeight }}
              onPointerDown={(event) => {
                event.preventDefault();
                choose(index);
              }}
            >
              {row(index)}
            </div>
          ))}
        </div>
      </div>
    </div>
  );
}
