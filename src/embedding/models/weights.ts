import { readdir } from 'node:fs/promises'
import { posix } from 'node:path'

/** Which weights of a model: by their precision, under the names that exports for transformers.js have. */
export type Dtype = 'auto' | keyof typeof suffixes

const suffixes = {
  fp32: '',
  fp16: '_fp16',
  q8: '_quantized',
  int8: '_int8',
  uint8: '_uint8',
  q4: '_q4',
  q4f16: '_q4f16',
  bnb4: '_bnb4',
} as const

/** Where weights may be, the wanted before the rest. */
export function weightNames(dtype: Dtype): string[] {
  const wanted = dtype === 'auto' ? [suffixes.q8, suffixes.fp32] : [suffixes[dtype]]
  return ['onnx/', ''].flatMap((folder) => wanted.map((suffix) => `${folder}model${suffix}.onnx`))
}

/** The first of the wanted weights that are among the files. */
export function chooseWeights(files: readonly string[], dtype: Dtype): string | undefined {
  return weightNames(dtype).find((name) => files.includes(name))
}

/** The files that hold a part of these weights. */
export function dataOf(weights: string, files: readonly string[]): string[] {
  return files
    .filter((file) => file.startsWith(weights) && /^[._]data(?:_\d+)?$/.test(file.slice(weights.length)))
    .sort()
}

/** The `dtype` of each of the weights among the files. */
export function dtypesIn(files: readonly string[]): string[] {
  const known = Object.entries(suffixes)
  return known
    .filter(([, suffix]) => files.some((file) => posix.basename(file) === `model${suffix}.onnx`))
    .map(([name]) => name)
}

/** Every file in the folder and in its `onnx/`, with slashes. */
export async function listFiles(folder: string): Promise<string[]> {
  const list = (path: string) => readdir(path).catch((): string[] => [])
  return [...(await list(folder)), ...(await list(posix.join(folder, 'onnx'))).map((name) => `onnx/${name}`)]
}
