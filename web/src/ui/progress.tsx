// What is under way: a thin bar at once; after a while what it is, how long, how much has come, and a way to stop it.

import { useEffect, useState } from 'react';
import { cancelAll, useActivities } from '../data/activity';
import { formatValue } from '../data/units';

const PATIENCE_MS = 800;

export function Progress() {
  const running = useActivities();
  const [now, setNow] = useState(0);
  const busy = running.length > 0;
  useEffect(() => {
    if (!busy) return;
    setNow(performance.now());
    const timer = setInterval(() => setNow(performance.now()), 100);
    return () => clearInterval(timer);
  }, [busy]);
  const longest = running.reduce((most, each) => Math.max(most, now - each.started), 0);
  const bytes = running.reduce((sum, each) => sum + each.bytes, 0);
  return (
    <>
      <div className={busy ? 'bar busy' : 'bar'} aria-hidden="true" />
      {busy && longest > PATIENCE_MS && (
        <div className="running">
          <span role="status">
            Asking for {running[0].label}
            {running.length > 1 && ` and ${running.length - 1} more`}
          </span>
          <span className="figures">
            {(longest / 1000).toFixed(1)} s{bytes > 0 && ` · ${formatValue(bytes, 'bytes')}`}
          </span>
          <button type="button" className="button" onClick={cancelAll}>
            Cancel <kbd>Esc</kbd>
          </button>
        </div>
      )}
    </>
  );
}
