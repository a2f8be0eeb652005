// A few choices side by side, one of them taken. Arrow keys move within.

interface Props<T extends string> {
  label: string;
  value: T;
  options: readonly { value: T; text: string; title?: string }[];
  choose: (value: T) => void;
}

export function Segmented<T extends string>({ label, value, options, choose }: Props<T>) {
  return (
    <div
      className="segmented"
      role="radiogroup"
      aria-label={label}
      onKeyDown={(event) => {
        const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!by) return;
        event.preventDefault();
        const at = (options.findIndex((each) => each.value === value) + by + options.length) % options.length;
        choose(options[at].value);
        (event.currentTarget.children[at] as HTMLElement).focus();
      }}
    >
      {options.map((option) => (
        <button type="button" key={option.value} role="radio" aria-checked={option.value === value} tabIndex={option.value === value ? 0 : -1} title={option.title} onClick={() => choose(option.value)}>
          {option.text}
        </button>
      ))}
    </div>
  );
}
