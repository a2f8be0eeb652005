// What stands where data would: why there are none, and what to do.

import type { ReactNode } from 'react';

interface Props {
  title: string;
  children?: ReactNode;
  tone?: 'plain' | 'error';
  action?: { text: string; run: () => void };
}

export function Notice({ title, children, tone = 'plain', action }: Props) {
  return (
    <div className={`notice ${tone}`} role={tone === 'error' ? 'alert' : 'status'}>
      <p className="notice-title">{title}</p>
      {children && <div className="notice-text">{children}</div>}
      {action && (
        <button type="button" className="button" onClick={action.run}>
          {action.text}
        </button>
      )}
    </div>
  );
}
