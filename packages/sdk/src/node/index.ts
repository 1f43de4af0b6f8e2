/** What the requestor library can do besides on Node: files and folders of this machine, which is the daemon's too. */
export { getFile, getFolder, putFile, putFolder, wasmPayload } from './files.ts'
