// A canvas that writes down what is drawn on it: `draw` needs no screen to be tested.

export interface Drawn {
  bars: { x: number; y: number; width: number; height: number; color: string }[];
  texts: { text: string; x: number; y: number; color: string }[];
  outlines: { x: number; y: number; width: number; color: string; line: number }[];
  measured: string[];
}

/** A character is six pixels wide. */
export const CHARACTER = 6;

export function canvas(): { context: CanvasRenderingContext2D; drawn: Drawn } {
  const drawn: Drawn = { bars: [], texts: [], outlines: [], measured: [] };
  const context = {
    fillStyle: '',
    strokeStyle: '',
    lineWidth: 1,
    font: '',
    textBaseline: '',
    clearRect: () => {
      drawn.bars.length = drawn.texts.length = drawn.outlines.length = 0;
    },
    fillRect(x: number, y: number, width: number, height: number) {
      drawn.bars.push({ x, y, width, height, color: this.fillStyle });
    },
    fillText(text: string, x: number, y: number) {
      drawn.texts.push({ text, x, y, color: this.fillStyle });
    },
    strokeRect(x: number, y: number, width: number) {
      drawn.outlines.push({ x, y, width, color: this.strokeStyle, line: this.lineWidth });
    },
    measureText(text: string) {
      drawn.measured.push(text);
      return { width: text.length * CHARACTER };
    },
  };
  return { context: context as unknown as CanvasRenderingContext2D, drawn };
}
