// A button with a panel below it. Escape, a click outside, or leaving by Tab close it; focus goes back to the button.

import { useEffect, useId, useRef, useState, type ReactNode } from 'react';

interface Props {
  label: string;
  /** False where what the button shows is its name already. */
  named?: boolean;
  button: ReactNode;
  className?: string;
  align?: 'left' | 'right';
  disabled?: boolean;
  /** Key that opens it, told to assistive technology. */
  shortcut?: string;
  id?: string;
  children: (close: () => void) => ReactNode;
}

export function Popover({ label, named = true, button, className = 'button', align = 'left', disabled, shortcut, id, children }: Props) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const panel = useId();
  const close = () => {
    setOpen(false);
    root.current?.querySelector('button')?.focus();
  };
  useEffect(() => {
    if (!open) return;
    const outside = (event: PointerEvent) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener('pointerdown', outside);
    return () => document.removeEventListener('pointerdown', outside);
  }, [open]);
  return (
    <div
      className="popover"
      ref={root}
      onKeyDown={(event) => {
        if (event.key !== 'Escape' || !open) return;
        event.stopPropagation();
        close();
      }}
      onBlur={(event) => {
        if (open && event.relatedTarget && !root.current?.contains(event.relatedTarget as Node)) setOpen(false);
      }}
    >
      <button type="button" id={id} className={className} aria-label={named ? label : undefined} aria-expanded={open} aria-controls={open ? panel : undefined} aria-keyshortcuts={shortcut} disabled={disabled} onClick={() => setOpen(!open)}>
        {button}
      </button>
      {open && (
        <div className={`panel ${align}`} id={panel} role="dialog" aria-label={label}>
          {children(close)}
        </div>
      )}
    </div>
  );
}
