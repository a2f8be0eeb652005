// The flame graph on two canvases: the bars, and above them what follows the pointer. React knows data, focus and selection; pointer
// moves, zooming and scrolling draw without it, once a frame.

import { useCallback, useEffect, useId, useImperativeHandle, useLayoutEffect, useMemo, useRef, useState, type PointerEvent, type Ref } from 'react';
import { diffBuckets, diffPalette, nameBuckets, palette, type ColorBy, type Theme } from '../flame/color';
import { draw, drawOver, type Look } from '../flame/draw';
import { fullHeight, layout, levelTop, nodeAt, placeOf, rectangles, rows, type Orientation, type Viewport } from '../flame/layout';
import { move, type Direction } from '../flame/move';
import type { Found } from '../flame/search';
import type { FlameTree } from '../flame/tree';
import { between, formatSpan, pan, parseSpan, same, showing, spanOf, zoomAt, type Span } from '../flame/zoom';
import { copy } from '../data/share';
import { Tooltip, describeNode } from './tooltip';

export interface FlameHandle {
  canvas: () => HTMLCanvasElement | null;
  focus: () => void;
}

interface Props {
  tree: FlameTree;
  unit: string;
  label: string;
  theme: Theme;
  orientation: Orientation;
  colorBy: ColorBy;
  found: Found | null;
  /** The focused node, which is as wide as the graph unless `part` says otherwise. */
  zoom: number;
  setZoom: (node: number) => void;
  /** The part that a person zoomed or dragged to, as a link names it; '' is the focused node's. */
  part?: string;
  setPart?: (part: string) => void;
  /** A function whose bars are outlined. */
  marked: number;
  onSandwich?: (name: string) => void;
  onSearch?: (name: string) => void;
  onCallSite?: (node: number) => void;
  /** Looks for a function in all services. */
  onElsewhere?: (name: string) => void;
  ref?: Ref<FlameHandle>;
}

export const ROW_HEIGHT = 20;
const ANIMATION_MS = 180;
/** What a person zoomed to goes into the address when the hand rests. */
const REST_MS = 250;
/** A press that moves so far is a drag and no click. */
const DRAG_PX = 4;
/** A focused block that was out of sight comes so far from the edge, as a part of the height. */
const BRING_REST = 0.4;
/** The menu is so high. */
const MENU_PX = 200;

interface Menu {
  node: number;
  x: number;
  y: number;
}

const still = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

export function FlameGraph(props: Props) {
  const { tree, unit, label, theme, orientation, colorBy, found, zoom, setZoom, part = '', setPart, marked, onSandwich, onSearch, onCallSite, onElsewhere, ref } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const over = useRef<HTMLCanvasElement>(null);
  const thumb = useRef<HTMLElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [hovered, setHovered] = useState<{ node: number; x: number; y: number } | null>(null);
  const [selected, setSelected] = useState(-1);
  const [menu, setMenu] = useState<Menu | null>(null);
  const described = useId();
  const shapes = useMemo(() => rectangles(), []);
  const widths = useMemo(() => new Float32Array(tree.names.length), [tree]);
  const look = useMemo<Omit<Look, 'found' | 'marked'>>(
    () => ({
      palette: palette(theme),
      buckets: tree.sides ? diffBuckets(tree) : nameBuckets(tree.names, colorBy),
      diff: tree.sides ? diffPalette(theme) : null,
      rowHeight: ROW_HEIGHT,
    }),
    [tree, theme, colorBy],
  );
  const whole = useMemo(() => spanOf(tree, 0), [tree]);
  /** What is shown now, and of which tree; on the way to `wanted` while it is animated. */
  const shown = useRef<{ tree: FlameTree; span: Span }>({ tree, span: whole });
  const wanted = useMemo(() => parseSpan(part, whole) ?? spanOf(tree, zoom), [part, whole, tree, zoom]);

  const view = useCallback(
    (): Viewport => ({ width: size.width, height: size.height, scroll: scroller.current?.scrollTop ?? 0, rowHeight: ROW_HEIGHT, orientation }),
    [size, orientation],
  );

  const paintOver = useCallback(() => {
    const context = over.current?.getContext('2d');
    if (!context || !size.width) return;
    const ratio = window.devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const places = [
      { node: hovered?.node ?? -1, color: look.palette.outline, line: 1 },
      { node: selected, color: look.palette.selected, line: 2 },
    ].flatMap(({ node, ...rest }) => {
      const place = node >= 0 && node < tree.x.length ? placeOf(tree, node, shown.current.span, view()) : null;
      return place ? [{ ...place, ...rest }] : [];
    });
    drawOver(context, places, ROW_HEIGHT, size.width, size.height);
  }, [tree, view, look, hovered, selected, size]);
  const latestOver = useRef(paintOver);
  latestOver.current = paintOver;

  const paint = useCallback(() => {
    const context = canvas.current?.getContext('2d', { alpha: false });
    if (!context || !size.width) return;
    const ratio = window.devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const { span } = shown.current;
    layout(tree, zoom, view(), shapes, span);
    draw(context, tree, shapes, { ...look, found: found?.names ?? null, marked }, widths, size.width, size.height);
    if (thumb.current) {
      const all = whole.to - whole.from;
      thumb.current.hidden = same(span, whole);
      thumb.current.style.left = `${((span.from - whole.from) / all) * 100}%`;
      thumb.current.style.width = `${((span.to - span.from) / all) * 100}%`;
    }
    latestOver.current();
  }, [tree, zoom, view, shapes, look, found, marked, widths, size, whole]);

  // Drawn once a frame, whatever changed in it.
  const frame = useRef(0);
  const latestPaint = useRef(paint);
  latestPaint.current = paint;
  const schedule = useCallback(() => {
    if (frame.current) return;
    frame.current = requestAnimationFrame(() => {
      frame.current = 0;
      latestPaint.current();
    });
  }, []);
  useEffect(schedule, [schedule, paint]);
  useEffect(paintOver, [paintOver]);
  useEffect(() => () => cancelAnimationFrame(frame.current), []);

  // In a few frames from what is shown to another part.
  const animation = useRef(0);
  const go = useCallback(
    (to: Span) => {
      cancelAnimationFrame(animation.current);
      const from = shown.current.span;
      if (still() || same(from, to)) {
        shown.current.span = to;
        schedule();
        return;
      }
      const started = performance.now();
      const stepOn = () => {
        const t = Math.min(1, (performance.now() - started) / ANIMATION_MS);
        shown.current.span = t === 1 ? to : between(from, to, t);
        latestPaint.current();
        if (t < 1) animation.current = requestAnimationFrame(stepOn);
      };
      animation.current = requestAnimationFrame(stepOn);
    },
    [schedule],
  );
  useEffect(() => () => cancelAnimationFrame(animation.current), []);
  // At once for new data.
  useLayoutEffect(() => {
    if (shown.current.tree === tree) go(wanted);
    else {
      cancelAnimationFrame(animation.current);
      shown.current = { tree, span: wanted };
      schedule();
    }
  }, [tree, wanted, go, schedule]);

  // Zooming and dragging by hand: drawn at once, told when the hand rests.
  const rest = useRef(0);
  const toPart = useCallback(
    (span: Span) => {
      cancelAnimationFrame(animation.current);
      shown.current.span = span;
      schedule();
      if (!setPart) return;
      clearTimeout(rest.current);
      rest.current = window.setTimeout(() => setPart(formatSpan(span, whole)), REST_MS);
    },
    [schedule, setPart, whole],
  );
  useEffect(() => () => clearTimeout(rest.current), [tree]);

  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const measure = () => setSize({ width: element.clientWidth, height: element.clientHeight });
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  // A wheel with Ctrl zooms (so does a pinch on a touch pad), one that goes sideways pans. React's own listener could not keep the page from zooming.
  useEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const wheel = (event: WheelEvent) => {
      const sideways = event.shiftKey ? event.deltaY || event.deltaX : Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : 0;
      const { span } = shown.current;
      if (event.ctrlKey || event.metaKey) {
        const box = element.getBoundingClientRect();
        const lines = event.deltaMode === 1 ? 16 : 1;
        const by = Math.max(-120, Math.min(120, event.deltaY * lines));
        toPart(zoomAt(span, whole, Math.exp(by / 200), (event.clientX - box.left) / Math.max(1, element.clientWidth)));
      } else if (sideways && !same(span, whole)) toPart(pan(span, whole, sideways / Math.max(1, element.clientWidth)));
      else return;
      event.preventDefault();
      setHovered(null);
    };
    element.addEventListener('wheel', wheel, { passive: false });
    return () => element.removeEventListener('wheel', wheel);
  }, [toPart, whole]);

  // A flame graph starts at its ground; an icicle at its top.
  useLayoutEffect(() => {
    if (scroller.current) scroller.current.scrollTop = orientation === 'flame' ? scroller.current.scrollHeight : 0;
  }, [orientation, tree]);
  /** Scrolls to the level of a node that is out of sight; `rest` of the height stays between it and the edge. */
  const bring = (node: number, rest: number) => {
    const element = scroller.current;
    if (!element) return;
    const { clientHeight: height, scrollTop } = element;
    const top = levelTop(tree.depth[node], rows(tree), { width: 0, height, scroll: 0, rowHeight: ROW_HEIGHT, orientation });
    if (top < scrollTop) element.scrollTop = top - height * rest;
    else if (top + ROW_HEIGHT > scrollTop + height) element.scrollTop = top + ROW_HEIGHT - height * (1 - rest);
  };
  // What is focused from elsewhere, by a table or a link, may lie deep.
  useLayoutEffect(() => bring(zoom, BRING_REST), [tree, zoom, orientation]);
  // Nodes have other numbers in other data.
  useEffect(() => {
    setSelected(-1);
    setHovered(null);
    setMenu(null);
  }, [tree]);

  const at = (event: { clientX: number; clientY: number }) => {
    const box = canvas.current!.getBoundingClientRect();
    return nodeAt(tree, shown.current.span, view(), event.clientX - box.left, event.clientY - box.top);
  };
  const drag = useDrag(
    (by) => {
      setHovered(null);
      if (!same(shown.current.span, whole)) toPart(pan(shown.current.span, whole, -by / Math.max(1, size.width)));
    },
    (factor, x) => {
      const box = canvas.current!.getBoundingClientRect();
      toPart(zoomAt(shown.current.span, whole, factor, (x - box.left) / Math.max(1, size.width)));
    },
    (by) => {
      if (scroller.current) scroller.current.scrollTop -= by;
    },
  );
  const select = (node: number) => {
    setSelected(node);
    setHovered(null);
    if (node < 0) return;
    const seen = showing(shown.current.span, spanOf(tree, node), whole);
    if (!same(seen, shown.current.span)) toPart(seen);
    bring(node, 0);
  };
  const down = orientation === 'icicle' ? 'in' : 'out';
  const up = orientation === 'icicle' ? 'out' : 'in';
  const keys: Record<string, Direction> = { ArrowDown: down, ArrowUp: up, ArrowLeft: 'left', ArrowRight: 'right' };
  const current = selected >= 0 ? selected : zoom;
  const name = (node: number) => tree.names[tree.name[node]];
  const isWhole = () => zoom === 0 && part === '' && same(shown.current.span, whole);
  /** The focused node may be what it was, and yet not fill the width. */
  const focus = (node: number) => {
    clearTimeout(rest.current);
    setZoom(node);
    go(spanOf(tree, node));
  };
  const zoomKey = (factor: number) => {
    const place = selected >= 0 ? placeOf(tree, selected, shown.current.span, { ...view(), scroll: 0, height: Number.POSITIVE_INFINITY }) : null;
    toPart(zoomAt(shown.current.span, whole, factor, place ? (place.x + place.width / 2) / Math.max(1, size.width) : 0.5));
  };

  useImperativeHandle(ref, () => ({ canvas: () => canvas.current, focus: () => scroller.current?.focus() }), []);
  const ratio = typeof window === 'undefined' ? 1 : window.devicePixelRatio || 1;
  const height = fullHeight(tree, ROW_HEIGHT);
  const layer = { width: Math.round(size.width * ratio), height: Math.round(size.height * ratio), style: { width: size.width, height: size.height }, 'aria-hidden': true } as const;
  return (
    <div className="flame">
      <div
        className="flame-scroll"
        ref={scroller}
        tabIndex={0}
        role="application"
        aria-label={`${label}. Arrow keys move, Enter zooms, Escape goes back. The table has the same data.`}
        aria-describedby={described}
        onScroll={schedule}
        {...drag.handlers}
        onPointerMove={(event) => {
          drag.handlers.onPointerMove(event);
          if (menu || event.pointerType === 'touch' || event.buttons) return;
          const node = at(event);
          setHovered(node >= 0 ? { node, x: event.clientX, y: event.clientY } : null);
        }}
        onPointerLeave={() => setHovered(null)}
        onClick={(event) => {
          if (drag.wasDrag()) return;
          const node = at(event);
          setMenu(null);
          if (node < 0) return;
          setSelected(node);
          focus(node === zoom && part === '' ? Math.max(0, tree.parent[node]) : node);
        }}
        onContextMenu={(event) => {
          const node = at(event);
          if (node < 0) return;
          event.preventDefault();
          setHovered(null);
          setSelected(node);
          const box = scroller.current!.getBoundingClientRect();
          setMenu({ node, x: Math.min(event.clientX - box.left, box.width - 200), y: Math.max(0, Math.min(event.clientY - box.top, box.height - MENU_PX)) });
        }}
        onKeyDown={(event) => {
          if (event.ctrlKey || event.metaKey || event.altKey) return;
          if (event.shiftKey && (event.key === 'ArrowLeft' || event.key === 'ArrowRight')) toPart(pan(shown.current.span, whole, event.key === 'ArrowLeft' ? -0.2 : 0.2));
          else if (event.key in keys) select(move(tree, current, keys[event.key]));
          else if (event.key === 'Home') select(0);
          else if (event.key === 'Enter' || event.key === ' ') focus(current);
          else if (event.key === '+' || event.key === '=') zoomKey(0.5);
          else if (event.key === '-') zoomKey(2);
          else if (event.key === 'Escape' && menu) setMenu(null);
          else if (event.key === 'Escape' && !isWhole()) focus(0);
          else if (event.key === 'Backspace') focus(Math.max(0, tree.parent[zoom]));
          else if (event.key === 's' && current > 0 && onSandwich) onSandwich(name(current));
          else if (event.key === 'ContextMenu' || (event.key === 'F10' && event.shiftKey)) openMenu(current);
          else return;
          event.preventDefault();
          event.stopPropagation();
        }}
      >
        <div className="flame-layers" style={{ height: size.height }}>
          <canvas ref={canvas} {...layer} />
          <canvas ref={over} className="over" {...layer} />
          <div className="flame-map" aria-hidden="true">
            <i ref={thumb} hidden />
          </div>
        </div>
        <div style={{ height: Math.max(0, height - size.height) }} />
      </div>
      <p className="sr-only flame-selection" id={described} aria-live="polite">
        {selected >= 0 && selected < tree.x.length ? describeNode(tree, selected, unit) : ''}
      </p>
      {hovered && hovered.node < tree.x.length && <Tooltip tree={tree} node={hovered.node} unit={unit} x={hovered.x} y={hovered.y} />}
      {menu && (
        <NodeMenu
          menu={menu}
          close={() => {
            setMenu(null);
            scroller.current?.focus();
          }}
          items={[
            { text: 'Focus block', run: () => focus(menu.node) },
            ...(onSandwich ? [{ text: 'Callers and callees', run: () => onSandwich(name(menu.node)) }] : []),
            ...(onSearch ? [{ text: 'Find this function', run: () => onSearch(`"${name(menu.node)}"`) }] : []),
            ...(onCallSite ? [{ text: 'This stack over time', run: () => onCallSite(menu.node) }] : []),
            ...(onElsewhere ? [{ text: 'In which services?', run: () => onElsewhere(name(menu.node)) }] : []),
            { text: 'Copy name', run: () => void copy(name(menu.node)) },
          ]}
        />
      )}
    </div>
  );

  function openMenu(node: number): void {
    const place = placeOf(tree, node, shown.current.span, view());
    const box = scroller.current!.getBoundingClientRect();
    setSelected(node);
    setMenu({ node, x: Math.max(0, Math.min((place?.x ?? 0) + 12, box.width - 200)), y: Math.max(0, Math.min((place?.y ?? 0) + ROW_HEIGHT, box.height - MENU_PX)) });
  }
}

interface Drag {
  handlers: Record<'onPointerDown' | 'onPointerMove' | 'onPointerUp' | 'onPointerCancel', (event: PointerEvent<HTMLElement>) => void>;
  /** Whether the click that comes now ends a drag. */
  wasDrag: () => boolean;
}

/** A pressed pointer drags sideways (and up and down where the browser does not do it), two fingers pinch. */
function useDrag(sideways: (by: number) => void, pinch: (factor: number, x: number) => void, upDown: (by: number) => void): Drag {
  const pointers = useRef(new Map<number, { x: number; y: number }>());
  const moved = useRef(0);
  const end = (event: PointerEvent<HTMLElement>) => pointers.current.delete(event.pointerId);
  return {
    wasDrag: () => moved.current > DRAG_PX,
    handlers: {
      onPointerDown: (event) => {
        if (event.button !== 0) return;
        if (pointers.current.size === 0) moved.current = 0;
        pointers.current.set(event.pointerId, { x: event.clientX, y: event.clientY });
      },
      onPointerMove: (event) => {
        const before = pointers.current.get(event.pointerId);
        if (!before) return;
        if (event.pointerType === 'mouse' && !event.buttons) {
          // It was let go outside of the window.
          end(event);
          return;
        }
        const now = { x: event.clientX, y: event.clientY };
        const other = [...pointers.current].find(([id]) => id !== event.pointerId)?.[1];
        if (other) {
          const apart = (a: { x: number }) => Math.max(8, Math.abs(a.x - other.x));
          moved.current = DRAG_PX + 1;
          pinch(apart(before) / apart(now), (now.x + other.x) / 2);
        } else {
          moved.current += Math.abs(now.x - before.x) + Math.abs(now.y - before.y);
          if (moved.current <= DRAG_PX) return;
          if (!event.currentTarget.hasPointerCapture(event.pointerId)) event.currentTarget.setPointerCapture(event.pointerId);
          if (now.x !== before.x) sideways(now.x - before.x);
          if (event.pointerType === 'mouse' && now.y !== before.y) upDown(now.y - before.y);
        }
        pointers.current.set(event.pointerId, now);
      },
      onPointerUp: end,
      onPointerCancel: end,
    },
  };
}

function NodeMenu({ menu, items, close }: { menu: Menu; items: { text: string; run: () => void }[]; close: () => void }) {
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => root.current?.querySelector('button')?.focus(), []);
  return (
    <div
      className="menu"
      role="menu"
      ref={root}
      style={{ left: menu.x, top: menu.y }}
      onBlur={(event) => {
        if (!root.current?.contains(event.relatedTarget as Node)) close();
      }}
      onKeyDown={(event) => {
        const buttons = [...root.current!.querySelectorAll('button')];
        const index = buttons.indexOf(document.activeElement as HTMLButtonElement);
        if (event.key === 'ArrowDown') buttons[(index + 1) % buttons.length].focus();
        else if (event.key === 'ArrowUp') buttons[(index + buttons.length - 1) % buttons.length].focus();
        else if (event.key === 'Escape') close();
        else return;
        event.preventDefault();
        event.stopPropagation();
      }}
    >
      {items.map((item) => (
        <button
          type="button"
          role="menuitem"
          key={item.text}
          className="option"
          onClick={() => {
            item.run();
            close();
          }}
        >
          {item.text}
        </button>
      ))}
    </div>
  );
}
