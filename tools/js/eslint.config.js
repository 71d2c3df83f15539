// TypeScript knows which names there are, of the browser's as of the host's: no-undef is left to it.
import js from "@eslint/js";

export default [
  js.configs.recommended,
  {
    files: ["js/**/*.js", "tests/js/**/*.js", "tools/js/*.js"],
    rules: {
      "no-undef": "off",
      "array-callback-return": "error",
      curly: ["error", "multi-line"],
      eqeqeq: "error",
      "no-shadow": "error",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
      "prefer-template": "error",
      "max-lines": ["error", 400],
      "max-params": ["error", 7],
    },
  },
];
