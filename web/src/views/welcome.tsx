// A server without profiles: how the first one is sent.

import { useState } from 'react';
import { copy } from '../data/share';
import { usePage } from '../data/state';
import { Icon } from '../ui/icons';

/** Commands by way of sending. `URL` is where the page came from. */
export function commands(url: string, tenant: string): { name: string; text: string }[] {
  const header = tenant ? ` -H 'X-Scope-OrgID: ${tenant}'` : '';
  return [
    {
      name: 'curl',
      text: `printf 'main;work;encode 30\\nmain;work;send 12\\n' \\\n  | curl -s${header} --data-binary @- \\\n    "${url}/ingest?name=my-app&format=folded&sampleRate=100"`,
    },
    {
      name: 'flamelake push',
      text: `curl -s http://127.0.0.1:6060/debug/pprof/profile?seconds=5 -o cpu.pb.gz\nflamelake push cpu.pb.gz --label service_name=my-app --url ${url}${tenant ? ` --tenant '${tenant}'` : ''}`,
    },
    {
      name: 'Python',
      text: `# pip install pyroscope-io\nimport pyroscope\n\npyroscope.configure(\n    application_name="my-app",\n    server_address="${url}",${tenant ? `\n    tenant_id="${tenant}",` : ''}\n)`,
    },
    {
      name: 'Go',
      text: `// go get github.com/grafana/pyroscope-go\nimport "github.com/grafana/pyroscope-go"\n\npyroscope.Start(pyroscope.Config{\n\tApplicationName: "my-app",\n\tServerAddress:   "${url}",${tenant ? `\n\tTenantID:        "${tenant}",` : ''}\n})`,
    },
    {
      name: 'Java',
      text: `# the agent: io.pyroscope:agent on Maven Central\nexport PYROSCOPE_APPLICATION_NAME=my-app\nexport PYROSCOPE_SERVER_ADDRESS=${url}${tenant ? `\nexport PYROSCOPE_TENANT_ID=${tenant}` : ''}\njava -javaagent:pyroscope.jar -jar app.jar`,
    },
  ];
}

export function Welcome({ upload }: { upload: () => void }) {
  const { state, refresh, notify } = usePage();
  const all = commands(location.origin, state.tenant);
  const [chosen, choose] = useState(0);
  return (
    <section className="welcome" aria-label="Send the first profile">
      <h1>Send the first profile</h1>
      <p className="muted">This server has no profiles{state.tenant ? ` for tenant ${state.tenant}` : ''} in the range yet. Any Pyroscope SDK works; so does one command.</p>
      <div className="tabs" role="tablist" aria-label="Ways to send">
        {all.map((each, i) => (
          <button
            type="button"
            role="tab"
            key={each.name}
            id={`way-${i}`}
            aria-selected={i === chosen}
            aria-controls="way"
            tabIndex={i === chosen ? 0 : -1}
            onClick={() => choose(i)}
            onKeyDown={(event) => {
              const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
              if (!by) return;
              const next = (i + by + all.length) % all.length;
              choose(next);
              document.getElementById(`way-${next}`)?.focus();
            }}
          >
            {each.name}
          </button>
        ))}
      </div>
      <div className="command" id="way" role="tabpanel" aria-labelledby={`way-${chosen}`}>
        <pre tabIndex={0}>
          <code>{all[chosen].text}</code>
        </pre>
        <button type="button" className="button" onClick={() => void copy(all[chosen].text).then(() => notify('Copied'))}>
          <Icon name="copy" /> <span>Copy</span>
        </button>
      </div>
      <div className="welcome-actions">
        <button type="button" className="button primary" onClick={refresh}>
          <Icon name="refresh" /> <span>Look again</span>
        </button>
        <button type="button" className="button" onClick={upload}>
          <Icon name="upload" /> <span>Upload a file</span>
        </button>
        <span className="muted">or drop a pprof, JFR, speedscope or folded file anywhere</span>
      </div>
    </section>
  );
}
