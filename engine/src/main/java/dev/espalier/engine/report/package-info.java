/// What a run did, as data: `report.json` for programs and `report.html` for people.
package dev.espalier.engine.report;
