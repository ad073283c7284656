import { z } from 'zod'

const text = z.string().min(1)

/** A list, or one entry, or entries parted by commas, as environment variables have them. */
export const textList = z
  .union([text, z.array(text)])
  .transform((value) => [value].flat().flatMap((entry) => entry.split(',').map((part) => part.trim())))
