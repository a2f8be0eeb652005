// What a bar says when it is pointed at, and the same as a sentence.

import { useLayoutEffect, useRef } from 'react';
import { formatChange, formatShare, formatValue } from '../data/units';
import type { FlameTree } from '../flame/tree';

export function describeNode(tree: FlameTree, node: number, unit: string): string {
  const name = tree.names[tree.name[node]];
  const sides = tree.sides;
  if (sides) {
    return `${name}: baseline ${formatShare(sides.leftTotal[node], sides.leftTicks)}, comparison ${formatShare(sides.rightTotal[node], sides.rightTicks)}, change ${formatChange(points(tree, node))} points`;
  }
  return `${name}: total ${formatValue(tree.total[node], unit)} (${formatShare(tree.total[node], tree.total[0])}), self ${formatValue(tree.self[node], unit)} (${formatShare(tree.self[node], tree.total[0])})`;
}

function points(tree: FlameTree, node: number): number {
  const sides = tree.sides!;
  const share = (value: number, ticks: number) => (ticks > 0 ? (value / ticks) * 100 : 0);
  return share(sides.rightTotal[node], sides.rightTicks) - share(sides.leftTotal[node], sides.leftTicks);
}

interface Props {
  tree: FlameTree;
  node: number;
  unit: string;
  x: number;
  y: number;
}

export function Tooltip({ tree, node, unit, x, y }: Props) {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const { width, height } = element.getBoundingClientRect();
    const left = x + 14 + width > innerWidth - 8 ? Math.max(8, x - width - 10) : x + 14;
    const top = y + 16 + height > innerHeight - 8 ? Math.max(8, y - height - 12) : y + 16;
    element.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  });
  const sides = tree.sides;
  return (
    <div className="tooltip" ref={box} aria-hidden="true">
      <p className="tooltip-name">{tree.names[tree.name[node]]}</p>
      {sides ? (
        <dl>
          <dt><i className="dot left" />Baseline</dt>
          <dd>{formatValue(sides.leftTotal[node], unit)}</dd>
          <dd>{formatShare(sides.leftTotal[node], sides.leftTicks)}</dd>
          <dt><i className="dot right" />Comparison</dt>
          <dd>{formatValue(sides.rightTotal[node], unit)}</dd>
          <dd>{formatShare(sides.rightTotal[node], sides.rightTicks)}</dd>
          <dt>Change</dt>
          <dd />
          <dd>{formatChange(points(tree, node))} pp</dd>
        </dl>
      ) : (
        <dl>
          <dt>Total</dt>
          <dd>{formatValue(tree.total[node], unit)}</dd>
          <dd>{formatShare(tree.total[node], tree.total[0])}</dd>
          <dt>Self</dt>
          <dd>{formatValue(tree.self[node], unit)}</dd>
          <dd>{formatShare(tree.self[node], tree.total[0])}</dd>
        </dl>
      )}
    </div>
  );
}
