// Who asks: the tenant, which stands in the address, and the request token, which does not.

import { useState, type ReactNode } from 'react';
import { TOKEN_NEEDED } from '../data/api';
import { isKept, recentTenants, rememberTenant, setToken, tenantProblem, useToken } from '../data/auth';
import { usePage } from '../data/state';
import { OF_SERVICE } from '../data/url';
import { Icon } from './icons';
import { Notice } from './notice';
import { Popover } from './popover';

export function Access() {
  const { state } = usePage();
  const token = useToken();
  return (
    <Popover
      id="tenant"
      label={`Tenant: ${state.tenant || 'none'}${token ? ', with a token' : ''}`}
      align="right"
      className="button quiet tenant"
      button={
        <>
          <Icon name={token ? 'key' : 'tenant'} />
          <span className={state.tenant ? 'tenant-name' : 'wide'}>{state.tenant || 'Tenant'}</span>
        </>
      }
    >
      {(close) => <AccessForm close={close} />}
    </Popover>
  );
}

function AccessForm({ close }: { close: () => void }) {
  const { state, update, refresh, notify } = usePage();
  const token = useToken();
  const [tenant, setTenant] = useState(state.tenant);
  const [entered, setEntered] = useState('');
  const [keep, setKeep] = useState(isKept);
  const problem = tenantProblem(tenant.trim());
  const others = recentTenants().filter((each) => each !== state.tenant);
  const go = (next: string) => {
    rememberTenant(next);
    if (next !== state.tenant) update({ ...OF_SERVICE, tenant: next, service: '', file: '', against: '', kind: '' });
    refresh();
    close();
  };
  return (
    <form
      className="form access"
      onSubmit={(event) => {
        event.preventDefault();
        if (problem) return;
        if (entered.trim()) setToken(entered.trim(), keep);
        else if (token && keep !== isKept()) setToken(token, keep);
        go(tenant.trim());
      }}
    >
      <label className="form-column">
        Tenant
        <input className="input" name="tenant" value={tenant} placeholder="none" spellCheck={false} autoFocus autoCapitalize="off" onChange={(event) => setTenant(event.target.value)} />
      </label>
      {problem ? (
        <p className="problem" role="alert">
          {problem}
        </p>
      ) : (
        <p className="hint">Sent as X-Scope-OrgID; a|b asks for both.</p>
      )}
      {others.length > 0 && (
        <div className="choices" role="group" aria-label="Tenants looked at before">
          {others.map((each) => (
            <button type="button" key={each} className="option" onClick={() => go(each)}>
              <span className="option-text">{each}</span>
            </button>
          ))}
        </div>
      )}
      <label className="form-column">
        Token
        <input className="input" type="password" name="token" value={entered} placeholder={token ? 'one is set' : 'only where the server wants one'} autoComplete="off" onChange={(event) => setEntered(event.target.value)} />
      </label>
      <label className="form-row">
        <span>Keep the token in this browser</span>
        <input type="checkbox" checked={keep} onChange={(event) => setKeep(event.target.checked)} />
      </label>
      <div className="form-actions">
        {token && (
          <button
            type="button"
            className="button"
            onClick={() => {
              setToken('', false);
              notify('The token is forgotten');
              refresh();
              close();
            }}
          >
            Forget token
          </button>
        )}
        <button type="submit" className="button primary" disabled={problem !== null}>
          Switch
        </button>
      </div>
    </form>
  );
}

/** What a server that lets nobody in says, and where to say who one is; null for other errors. */
export function barred(code: string, message: string): ReactNode {
  const action = { text: 'Tenant and token', run: () => document.getElementById('tenant')?.click() };
  switch (code) {
    case TOKEN_NEEDED:
      return (
        <Notice title="This server wants a token" action={action}>
          Ask who runs it for one with the right <code>query</code> (<code>flamelake token</code> draws them). {message}
        </Notice>
      );
    case 'unauthenticated':
      return (
        <Notice title="Which tenant?" action={action}>
          This server keeps tenants apart: every request names one (X-Scope-OrgID).
        </Notice>
      );
    case 'permission_denied':
      return (
        <Notice tone="error" title="Not allowed" action={action}>
          {message}
        </Notice>
      );
    default:
      return null;
  }
}
