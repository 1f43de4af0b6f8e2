/** Who may import whom. The house's plan is in docs/ARCHITECTURE.md. */
const packages = {
  core: [],
  bus: ['core'],
  net: ['core', 'bus'],
  api: ['core'],
  node: ['core', 'bus', 'net', 'api'],
  'exe-unit': ['core', 'bus'],
  provider: ['core', 'api', 'exe-unit'],
  sdk: ['core', 'api'],
  contracts: ['core'],
}

const onlyAllowed = Object.entries(packages).map(([name, allowed]) => ({
  name: `${name}-imports-only-${allowed.join('-') || 'nothing'}`,
  severity: 'error',
  from: { path: `^packages/${name}/src`, pathNot: '\\.test\\.ts$|/testing' },
  to: { path: '^packages/', pathNot: `^packages/(${[name, ...allowed].join('|')})/` },
}))

/** Inside the daemon: a module may import those to its right through their door. */
const order = ['rest', 'payment', 'files', 'activity', 'market', 'identity', 'store']
const modules = order.map((name, at) => ({
  name: `node-${name}-looks-only-right`,
  severity: 'error',
  from: { path: `^packages/node/src/${name}/`, pathNot: '\\.test\\.ts$|/testing' },
  to: { path: `^packages/node/src/(${order.slice(0, at).join('|') || '-'})/` },
}))

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    ...onlyAllowed,
    ...modules,
    {
      name: 'through-the-door',
      comment: 'another module of the daemon is imported through its index.ts only',
      severity: 'error',
      from: { path: '^packages/node/src/([^/]+)/', pathNot: '\\.test\\.ts$|/testing' },
      to: { path: '^packages/node/src/([^/]+)/', pathNot: '^packages/node/src/$1/|/(index|types)\\.ts$' },
    },
    {
      name: 'provider-knows-only-the-protocol',
      severity: 'error',
      from: { path: '^packages/provider/src' },
      to: { path: '^packages/exe-unit/src/', pathNot: '/protocol\\.ts$' },
    },
    {
      name: 'nothing-imports-cli',
      severity: 'error',
      from: { path: '^packages/(?!cli/)' },
      to: { path: '^packages/cli/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: 'node_modules|\\.test\\.ts$' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'require', 'node', 'default'] },
  },
}
