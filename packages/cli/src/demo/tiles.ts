/** Cuts a picture into tiles and joins them again. */

export type Tile = { readonly x0: number; readonly y0: number; readonly x1: number; readonly y1: number }

/** Tiles of about `tileSize`, row by row, that cover the picture without overlap. */
export function cutTiles(width: number, height: number, tileSize: number): Tile[] {
  const tiles: Tile[] = []
  for (let y0 = 0; y0 < height; y0 += tileSize) {
    for (let x0 = 0; x0 < width; x0 += tileSize) {
      tiles.push({ x0, y0, x1: Math.min(width, x0 + tileSize), y1: Math.min(height, y0 + tileSize) })
    }
  }
  return tiles
}

const CHANNELS = 3

/** Copies a tile's bare RGB bytes to its place. Throws when there are not as many bytes as the tile has. */
export function placeTile(picture: Uint8Array, width: number, tile: Tile, pixels: Uint8Array): void {
  const rowBytes = (tile.x1 - tile.x0) * CHANNELS
  const wanted = rowBytes * (tile.y1 - tile.y0)
  if (pixels.length !== wanted) throw new RangeError(`a tile has ${pixels.length} bytes instead of ${wanted}`)
  for (let y = tile.y0; y < tile.y1; y++) {
    const row = pixels.subarray((y - tile.y0) * rowBytes, (y - tile.y0 + 1) * rowBytes)
    picture.set(row, (y * width + tile.x0) * CHANNELS)
  }
}
