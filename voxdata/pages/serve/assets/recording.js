// Records the microphone as it is, without a codec: samples from the audio graph, 16-bit mono WAV at its rate.

const PROCESSOR = "/assets/processor.js";

export class Recorder {
  static possible() { return Boolean(navigator.mediaDevices?.getUserMedia && window.AudioWorkletNode); }

  // `heard(seconds, level, full)` is called as sound comes in; full: `limit` seconds are there.
  constructor(heard, limit) {
    this.heard = heard;
    this.limit = limit;
    this.blocks = [];
    this.count = 0;
  }

  async start() {
    const wanted = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    this.stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    this.context = new AudioContext();
    await this.context.audioWorklet.addModule(PROCESSOR);
    const node = new AudioWorkletNode(this.context, "recorder", { numberOfOutputs: 0 });
    node.port.onmessage = (event) => this.take(event.data);
    this.context.createMediaStreamSource(this.stream).connect(node);
    await this.context.resume();
  }

  take(block) {
    const room = Math.floor(this.limit * this.context.sampleRate) - this.count;
    if (room <= 0) return;
    const kept = block.subarray(0, room);
    this.blocks.push(kept);
    this.count += kept.length;
    this.heard(this.count / this.context.sampleRate, Math.max(...kept.map(Math.abs)), kept.length === room);
  }

  // The WAV file.
  async stop() {
    for (const track of this.stream.getTracks()) track.stop();
    const rate = this.context.sampleRate;
    await this.context.close();
    return new Blob([header(this.count, rate), ...this.blocks.map(sixteenBit)], { type: "audio/wav" });
  }
}

function sixteenBit(block) {
  return Int16Array.from(block, (value) => Math.round(Math.min(1, Math.max(-1, value)) * 32767));
}

function header(count, rate) {
  const view = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => { for (const [index, letter] of [...letters].entries()) view.setUint8(at + index, letter.charCodeAt(0)); };
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * count, true); text(8, "WAVEfmt "); view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); view.setUint16(22, 1, true); view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true); text(36, "data"); view.setUint32(40, 2 * count, true);
  return view.buffer;
}
